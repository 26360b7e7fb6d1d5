"""A client as a process of its own, with its programs, and what each of them left behind.

An SDK takes seconds to import, so one process runs all programs of a client, one after the other.
Between a program and the gateway there is nothing of ours: it has the gateway's address and a key
from its environment, and prints what it got.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.gateway import Gateway, Received, test_key, wait_for

HERE = Path(__file__).parent
# One environment for all, but for those whose requirements do not go together with the others'.
VENVS = {"pydantic_ai_sdk": "pydantic-ai"}
NODE = HERE / "node"
WORDS = "".join(f"tok{number} " for number in range(1, 13))
"""What the simulated provider says, unless it is asked for JSON."""
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class Outcome:
    """What one program printed, and what is known of its calls.

    `calls`: their lines in the access log. `received`, `bill`: the simulated provider's records.
    """

    got: Any
    calls: list[dict[str, Any]]
    received: list[Received]
    bill: dict[str, Any]

    @property
    def sent(self) -> dict[str, Any]:
        """The JSON body of the last request that reached the provider."""
        body: dict[str, Any] = json.loads(self.received[-1].body)
        return body


@dataclass
class Client:
    """A running client; `run` is one scenario."""

    name: str
    gateway: Gateway
    process: subprocess.Popen[str]
    folder: Path
    _seen: int = field(default=0)

    def run(
        self,
        program: str,
        *,
        key: str = "app",
        fault: str = "",
        times: int | None = None,
        calls: int = 1,
        **arguments: Any,
    ) -> Outcome:
        """Runs a program and waits for the log lines of its `calls` calls.

        `fault`: directives for the provider, for the first `times` requests (None: for all).
        """
        self.gateway.forget()
        self._seen = len(self.gateway.log_lines())
        with self._fault(fault, times):
            got = self._ask(program, key, arguments)
            lines = wait_for(lambda: self._lines(calls), f"{calls} lines in the access log")
        self._wait_settled()
        return Outcome(got, lines, self.gateway.received(), self.gateway.bill())

    def _lines(self, count: int) -> list[dict[str, Any]] | None:
        lines = self.gateway.log_lines()[self._seen :]
        assert len(lines) <= count, f"{len(lines)} calls, not {count}: {lines}"
        return lines if len(lines) == count else None

    def _wait_settled(self) -> None:
        lines = self.gateway.log_lines()
        admitted = [line for line in lines if "reservation_id" in line.get("reservation", {})]
        self.gateway.wait_settled(len(admitted))

    def _ask(self, program: str, key: str, arguments: dict[str, Any]) -> Any:
        asked = {"program": program, "key": test_key(key), "arguments": arguments}
        assert self.process.stdin and self.process.stdout
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, f"{self.name} ended:\n{self._log()}"
        read = json.loads(answer)
        if "failed" in read:
            pytest.fail(f"{self.name} {program}:\n{read['failed']}", pytrace=False)
        return read["got"]

    def _log(self) -> str:
        return (self.folder / "stderr.log").read_text()[-4000:]

    @contextlib.contextmanager
    def _fault(self, directives: str, times: int | None) -> Iterator[None]:
        url = f"{self.gateway.up['simulator']}/_simulator/faults"
        fault = {"x-simulate": directives, "times": times}
        httpx.put(url, json=fault, trust_env=False).raise_for_status()
        try:
            yield
        finally:
            httpx.delete(url, trust_env=False).raise_for_status()


@contextlib.contextmanager
def started(name: str, gateway: Gateway, folder: Path) -> Iterator[Client]:
    """The client `name`, whose programs are in python/`name`.py, or in node/`name`.mjs."""
    folder.mkdir(parents=True)
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"TOLLHOUSE_URL": gateway.endpoint, "TOLLHOUSE_FOLDER": str(folder)}
    with (folder / "stderr.log").open("w") as log:
        process = subprocess.Popen(
            _command(name),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            cwd=folder,
        )
    with process:
        try:
            yield Client(name, gateway, process, folder)
        finally:
            # An SDK takes seconds to end by itself, and nothing of it is waited for.
            process.terminate()


def _command(name: str) -> list[str]:
    if (NODE / f"{name}.mjs").exists():
        return [_node(), str(NODE / "runner.mjs"), name]
    venv = HERE / f".venv-{VENVS.get(name, 'shared')}"
    return [str(_installed(venv / "bin/python")), str(HERE / "python/runner.py"), name]


def _node() -> str:
    _installed(NODE / "node_modules")
    return str(_installed(Path(shutil.which("node") or "node")))


def _installed(path: Path) -> Path:
    """`path`, as `make clients` installs it. Where it is missing the test is skipped; in CI, where
    nothing may be skipped, it fails."""
    if path.exists():
        return path
    message = f"{path} is missing: run `make clients`, which needs Node.js 18 with npm"
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
