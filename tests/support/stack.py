"""The gateway as processes that a test can kill, freeze and start again, one by one.

The parts are those of `tollhouse up`; only the supervisor is missing, which would end them all.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.support.gateway import wait_for
from tollhouse.local import envoy, simulated
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.local.settings import RunDir
from tollhouse.local.sockets import socket_path
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rendering import Address, EnvoySettings, render

PARTS = ("redis", "simulator", "authz_service", "ratelimit_service", "envoy")
_START_SECONDS = 30.0
_STOP_SECONDS = 15.0


class Stack:
    """All parts, on a policy tree in `policies`; their files are under `root`."""

    def __init__(self, root: Path, policies: Path) -> None:
        self._run = RunDir(root)
        self._policies = policies
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.redis = EmbeddedRedis(self._run.redis)
        self.port = _free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_log = self._run.access_log
        for folder in (self._run.root, self._run.logs, self._run.redis):
            folder.mkdir(parents=True, exist_ok=True)
        self._stand_ins = simulated.StandIns(self._run.simulator_key, self._run.simulator_keys)
        self._played = simulated.chosen(load_snapshot(policies).providers)
        self._simulator_options = self._stand_ins.begin(self._played)

    def start(self, part: str) -> None:
        """Run a part, and return when it is ready."""
        ready_file = self._run.ready_file(part)
        ready_file.unlink(missing_ok=True)
        if part == "envoy":
            self._render()
        with (self._run.logs / f"{part}.log").open("ab") as log:
            self._processes[part] = subprocess.Popen(
                self._command(part), stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: self._is_ready(part), f"{part} to be ready", _START_SECONDS)

    def signal(self, part: str, number: signal.Signals) -> None:
        """Send a signal to a part: SIGSTOP makes it hang, SIGCONT go on."""
        self._processes[part].send_signal(number)

    def kill(self, part: str) -> None:
        """End a part without a goodbye."""
        self._processes[part].kill()
        self._processes.pop(part).wait()

    def terminate(self, part: str) -> None:
        """Ask a part to end, and wait until it has."""
        self._processes[part].terminate()
        self._processes.pop(part).wait(_STOP_SECONDS)

    def problems(self, part: str) -> dict[str, str]:
        """What keeps a service from being ready, as its /readyz says."""
        answer = httpx.get(f"{self._url(part)}/readyz", trust_env=False)
        told: dict[str, str] = answer.json()["problems"]
        return told

    def metric(self, part: str, sample: str) -> float:
        """A sample of a metric without labels."""
        page = httpx.get(f"{self._url(part)}/metrics", trust_env=False).text
        return float(next(line.split()[1] for line in page.splitlines() if line.startswith(sample)))

    def log_of(self, part: str) -> str:
        """What a part has written."""
        return (self._run.logs / f"{part}.log").read_text()

    def simulator(self, what: str) -> Any:
        """What the simulated provider says of itself, such as `exchanges`."""
        return httpx.get(f"{self._url('simulator')}/_simulator/{what}", trust_env=False).json()

    def _url(self, part: str) -> str:
        facts = json.loads(self._run.ready_file(part).read_text())
        return str(facts.get("url") or facts["metrics"])

    def _is_ready(self, part: str) -> bool:
        assert self._processes[part].poll() is None, f"{part} ended:\n{self.log_of(part)[-2000:]}"
        if part == "redis":
            return self.redis.is_ready()
        if part == "envoy":
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{self.endpoint}/healthz", trust_env=False).status_code == 200
            return False
        return self._run.ready_file(part).exists()

    def _command(self, part: str) -> list[str]:
        ready = ("--ready-file", str(self._run.ready_file(part)))
        if part == "redis":
            return self.redis.command()
        if part == "envoy":
            config = self._run.envoy / "envoy.yaml"
            return envoy.command(config, self._run.envoy_admin, concurrency=2)
        if part == "simulator":
            options = ("--port", "0", "--record", *self._simulator_options)
            return [*_python("tollhouse.simulator"), *options, *ready]
        state = ("--state-dir", str(self._run.ratelimit_state))
        counting = ("--redis-url", self.redis.url, *state)
        name = part.removesuffix("_service")
        return [
            *_python(part),
            *("--policies", str(self._policies)),
            *("--listen", f"unix:{socket_path(self._run.root, name)}"),
            *(counting if part == "ratelimit_service" else ()),
            *ready,
        ]

    def _render(self) -> None:
        snapshot = load_snapshot(self._policies)
        settings = EnvoySettings(
            authz=Address(path=str(socket_path(self._run.root, "authz"))),
            ratelimit=Address(path=str(socket_path(self._run.root, "ratelimit"))),
            access_log=self.access_log,
            listen=Address("127.0.0.1", self.port),
            admin=Address("127.0.0.1", 0),
        )
        settings.simulated.update(self._stand_ins.of(self._played, self._url("simulator")))
        render(snapshot, settings, self._run.envoy)

    def close(self) -> None:
        """End whatever still runs, Envoy first."""
        for part in reversed(PARTS):
            if part in self._processes:
                self.signal(part, signal.SIGCONT)
                self.terminate(part)


def _free_port() -> int:
    # Envoy comes back on the same one, so the system cannot pick it anew each time.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _python(module: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module)


@contextlib.contextmanager
def running(root: Path, policies: Path) -> Iterator[Stack]:
    """Every part, from the first to the last, until the block ends."""
    stack = Stack(root, policies)
    try:
        for part in PARTS:
            stack.start(part)
        yield stack
    finally:
        stack.close()
