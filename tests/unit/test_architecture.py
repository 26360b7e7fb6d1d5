"""Rules of the house that import-linter (pyproject.toml) cannot say."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("authz_service", "console", "ratelimit_service", "tollhouse")

# Each module named with why it may look.
READS_THE_ENVIRONMENT = {
    "console/options.py",  # REDIS_URL
    "console/secrets.py",  # the secrets that the console itself uses: where the policy says
    "ratelimit_service/__main__.py",  # REDIS_URL
    "tollhouse/bundles/store.py",  # REDIS_URL
    "tollhouse/cli.py",  # COLUMNS
    "tollhouse/paths.py",  # TOLLHOUSE_ENVOY_DIR
    "tollhouse/rpc/core.py",  # GRPC_EXPERIMENTS
    "tollhouse/local/simulated.py",  # whether a provider's secret is set, never what it is
}

_IMPORT_EVERYTHING = """
import importlib, json, pkgutil, subprocess, sys, threading
seen = []
def audit(event, arguments):
    if event in ("socket.bind", "socket.connect", "subprocess.Popen", "os.fork"):
        seen.append(event)
sys.addaudithook(audit)
names = []
for package in sys.argv[1:]:
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, package + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            names.append(module.name)
print(json.dumps([len(names), seen, threading.active_count()]))
"""


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def _mentions_the_environment(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
        for node in ast.walk(tree)
    )


def test_the_envoy_folder_holds_data_only() -> None:
    """A Python package of that name would shadow Envoy's protobufs, which PyPI calls `envoy`."""
    assert list((ROOT / "envoy").rglob("*.py")) == []


def test_only_named_modules_look_at_the_environment_where_provider_secrets_may_be() -> None:
    assert {
        name for name, tree in _modules() if _mentions_the_environment(tree)
    } == READS_THE_ENVIRONMENT


def test_importing_any_module_opens_no_socket_and_starts_no_process_or_thread() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _IMPORT_EVERYTHING, *PACKAGES],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    count, seen, threads = json.loads(answer.stdout)
    assert count > 50
    assert (seen, threads) == ([], 1)
    assert answer.stderr == ""
