"""The `llm` command, with extra-openai-models.yaml as llm.datasette.io shows it."""

import os
import subprocess
import sys
from pathlib import Path

MODELS = """\
- model_id: tollhouse
  model_name: chat
  api_base: {url}/v1
  api_key_name: tollhouse
  supports_tools: true
  supports_schema: true
  vision: true
"""


def _llm(*arguments):
    home = Path(os.environ["TOLLHOUSE_FOLDER"]) / "llm"
    home.mkdir(exist_ok=True)
    (home / "extra-openai-models.yaml").write_text(MODELS.format(url=os.environ["TOLLHOUSE_URL"]))
    environment = {**os.environ, "LLM_USER_PATH": str(home)}
    program = Path(sys.executable).with_name("llm")
    ran = subprocess.run(
        [program, *arguments, "--key", os.environ["TOLLHOUSE_KEY"], "--no-log"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return {"status": ran.returncode, "text": ran.stdout, "error": ran.stderr}


def prompt():
    return _llm("-m", "tollhouse", "Say hello", "--no-stream")


def stream():
    return _llm("-m", "tollhouse", "Say hello")


def tool():
    return _llm("-m", "tollhouse", "What time is it?", "-T", "llm_time")


def schema():
    return _llm("-m", "tollhouse", "Judge", "--schema", "zeta, alpha int", "--no-stream")


def error():
    return _llm("-m", "tollhouse", "Say hello")
