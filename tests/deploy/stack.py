"""The services of docker-compose.yml on this machine: their commands, their order, their checks.

What a container would give them is replaced, and nothing else: paths on volumes become folders
under one root, fixed ports become free ones, the ledger's address becomes a unix socket, and
programs of other images are found under their names. The monitoring is not run: `scrape` stands for
Prometheus.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import httpx

from tests.deploy import compose
from tests.deploy.compose import ROOT
from tests.support.gateway import wait_for
from tollhouse.local import envoy
from tollhouse.local.embedded_redis import EmbeddedRedis

PROVIDER_KEY = "sk-of-the-provider"
PYTHON = ("authz_service", "ratelimit_service", "console")
MONITORING = ("prometheus", "grafana")
_START_SECONDS = 30
_STOP_SECONDS = 10  # what Docker gives a container before it kills it


class Stack:
    """All of them. Folders: `root`/policies, which must be there, certs, run, envoy, log, data."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._services = {n: s for n, s in compose.services().items() if n not in MONITORING}
        self._ledger = EmbeddedRedis(root)
        for folder in ("certs", "run", "envoy", "log", "data", "bin"):
            (root / folder).mkdir()
        self._provide_programs()

    def _provide_programs(self) -> None:
        server = Path(self._ledger.command()[0])
        programs = self.root / "bin"
        (programs / "envoy").symlink_to(envoy.binary())
        (programs / "valkey-server").symlink_to(server)
        client = programs / "valkey-cli"
        client.write_text(
            f'#!/bin/sh\nexec {server.with_name("redis-cli")} -s {self._ledger.socket_path} "$@"\n'
        )
        client.chmod(0o755)

    def start(self) -> None:
        """Each service once those it depends on are as it wants them."""
        graph = {name: set(one.get("depends_on", {})) for name, one in self._services.items()}
        for name in TopologicalSorter(graph).static_order():
            self.start_one(name)

    def start_one(self, name: str) -> None:
        """Returns when its health check succeeds, or, where it has none, when it has ended well."""
        with self.log_of(name).open("ab") as log:
            self.processes[name] = process = subprocess.Popen(
                self.command(name), env=self.environment(name), stdout=log, stderr=log, cwd="/"
            )
        if "healthcheck" in self._services[name]:
            wait_for(lambda: self.is_healthy(name), f"{name}: health", _START_SECONDS)
        else:
            assert process.wait(_START_SECONDS) == 0, self.log_of(name).read_text()

    def stop_one(self, name: str) -> int:
        """As `docker stop`; the exit status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(_STOP_SECONDS)
        finally:
            process.kill()

    def stop(self) -> None:
        for name in reversed(list(self.processes)):
            self.stop_one(name)

    def command(self, name: str) -> list[str]:
        """What the container would run, and how to learn which port it was given."""
        service, told = self._services[name], str(self._told(name))
        here = self._here(name, service["command"])
        if name == "valkey":
            return [*here, "--port", "0", "--unixsocket", str(self._ledger.socket_path)]
        if name == "envoy":
            return [*here, "--admin-address-path", told]
        ready_file = [f"--ready-file={told}"] if name in PYTHON else []
        return [*compose.entrypoint(), *here, *ready_file]

    def environment(self, name: str) -> dict[str, str]:
        """Nothing of this machine's but where programs are, and the secrets that are passed on."""
        path = f"{self.root}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        secrets = dict.fromkeys(self._services[name].get("environment", []), PROVIDER_KEY)
        return {"PATH": path, "HOME": "/tmp", "PYTHONDONTWRITEBYTECODE": "1", **secrets}

    def _here(self, name: str, words: list[str]) -> list[str]:
        port = self.port(name)
        replaced = {
            "/etc/tollhouse/envoy": f"{self.root}/envoy",
            "/var/log/tollhouse": f"{self.root}/log",
            "/var/lib/tollhouse": f"{self.root}/state",
            "/run/tollhouse": f"{self.root}/run",
            "/deploy/": f"{ROOT}/deploy/",
            "/policies": f"{self.root}/policies",
            "/certs": f"{self.root}/certs",
            "/data": f"{self.root}/data",
            "redis://valkey:6379/0": self._ledger.url,
            **{
                f"http://{each}:9464": f"http://127.0.0.1:{self.port(each)}"
                for each in ("authz_service", "ratelimit_service")
            },
            "0.0.0.0:8443": "127.0.0.1:0",
            "0.0.0.0:9464": "127.0.0.1:0",
            "127.0.0.1:9464": f"127.0.0.1:{port}",
            "127.0.0.1:9901": "127.0.0.1:0",
            "127.0.0.1/9901": f"127.0.0.1/{port}",
            "${TOLLHOUSE_HOSTNAME:-localhost}": "localhost",
        }
        fixed = re.compile("|".join(map(re.escape, replaced)))
        return [fixed.sub(lambda found: replaced[found[0]], word) for word in words]

    def _told(self, name: str) -> Path:
        return self.root / f"{name}.address"

    def port(self, name: str) -> str:
        """Of its metrics, or of Envoy's admin endpoint; 0 until it has been told."""
        told = self._told(name)
        found = re.search(r"127\.0\.0\.1:(\d+)", told.read_text()) if told.exists() else None
        return found[1] if found else "0"

    def is_healthy(self, name: str) -> bool:
        """Whether the health check in the compose file succeeds now."""
        kind, *test = self._here(name, self._services[name]["healthcheck"]["test"])
        words = {"CMD": test, "CMD-SHELL": ["sh", "-c", *test]}[kind]
        done = subprocess.run(
            words, env=self.environment(name), capture_output=True, check=False, timeout=10
        )
        return done.returncode == 0

    @property
    def ledger_url(self) -> str:
        return self._ledger.url

    def log_of(self, name: str) -> Path:
        return self.root / f"{name}.log"

    def scrape(self, name: str, path: str) -> httpx.Response:
        """What Prometheus reads from a service, or from Envoy's admin endpoint."""
        return httpx.get(f"http://127.0.0.1:{self.port(name)}{path}", trust_env=False)

    @property
    def endpoint(self) -> str:
        """By a name that the certificate has."""
        listeners = self.scrape("envoy", "/listeners?format=json").json()["listener_statuses"]
        port = listeners[0]["local_address"]["socket_address"]["port_value"]
        return f"https://localhost:{port}"


@contextlib.contextmanager
def running(root: Path) -> Iterator[Stack]:
    """`root`/policies must be there."""
    stack = Stack(root)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
