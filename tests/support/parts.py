"""Parts of a gateway that a test starts one by one, beside others than `tollhouse up` knows."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.simulator import simulator_process
from tests.support import e2e_policy
from tests.support.gateway import test_key, wait_for
from tollhouse.local import envoy


@contextlib.contextmanager
def process(folder: Path, name: str, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A part that runs until the block ends; its output goes to `folder`/`name`.log."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(20)


def metrics_url(ready_file: Path) -> str:
    """Of a service that has written its --ready-file."""
    return f"{json.loads(ready_file.read_text())['metrics']}/metrics"


@contextlib.contextmanager
def envoy_of(out: Path) -> Iterator[httpx.Client]:
    """An Envoy on the configuration in `out`; yields a client of its endpoint."""
    admin = out / "admin"
    with process(out, "envoy", envoy.command(out / "envoy.yaml", admin, 1)):
        address = wait_for(lambda: admin.exists() and admin.read_text(), "Envoy's admin", 30)
        wait_for(lambda: _is_live(address), "Envoy", 30)
        listeners = httpx.get(f"http://{address}/listeners?format=json", trust_env=False).json()
        socket_address = listeners["listener_statuses"][0]["local_address"]["socket_address"]
        url = f"http://127.0.0.1:{socket_address['port_value']}"
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as http:
            yield http


def _is_live(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def policies_of(root: Path, simulator_url: str) -> Path:
    """The end-to-end policy tree, with one provider, which the simulator is."""
    secret = root / "keys"
    secret.write_text(simulator_process.KEY)
    providers = e2e_policy.PROVIDERS.replace("https://api.openai.com", simulator_url)
    providers = providers.replace("${OPENAI_API_KEY}", f"file:{secret}")
    other = providers.index("  other:")
    models = e2e_policy.MODELS.replace("provider: other", "provider: openai")
    return e2e_policy.write(root / "policies", providers=providers[:other], models=models)


def chat(client: httpx.Client, key_name: str = "app", model: str = "chat") -> httpx.Response:
    """A small call."""
    body = {"model": model, "messages": [{"role": "user", "content": "Say hello"}]}
    headers = {"authorization": f"Bearer {test_key(key_name)}"}
    return client.post("/v1/chat/completions", json=body, headers=headers)
