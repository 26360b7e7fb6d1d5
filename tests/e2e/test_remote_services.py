"""Services that are not on Envoy's host: both sides show a certificate, or nothing is decided."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from tests.simulator import simulator_process
from tests.support import certificates, parts
from tests.support.certificates import Files
from tests.support.gateway import RUN_DIRS, wait_for
from tests.support.redis import RedisProcess


@dataclass
class Remote:
    """Both services on TCP, with a CA of their own, and a provider."""

    root: Path
    ca: trustme.CA
    policies: Path
    authz: int
    ratelimit: int
    simulator: simulator_process.Simulator

    @contextlib.contextmanager
    def envoy(self, client: Files, name: str) -> Iterator[httpx.Client]:
        """An Envoy that shows `client` to the services; yields a client of its endpoint."""
        out = self.root / name
        service_ca = self.root / "service/ca.crt"
        subprocess.run(
            [
                *(sys.executable, "-m", "tollhouse", "render", "--out", str(out)),
                *("--policies", str(self.policies), "--access-log", str(out / "access.json")),
                *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
                *("--authz", f"localhost:{self.authz}"),
                *("--ratelimit", f"localhost:{self.ratelimit}"),
                *("--services-ca", str(service_ca)),
                *("--services-cert", str(client.cert), "--services-key", str(client.key)),
            ],
            check=True,
            capture_output=True,
        )
        with parts.envoy_of(out) as http:
            yield http


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def service_command(name: str, port: int, policies: Path, files: Files, ready: Path) -> list[str]:
    return [
        *(sys.executable, "-m", name, "--policies", str(policies)),
        *("--listen", f"localhost:{port}", "--ready-file", str(ready)),
        *("--tls-ca", str(files.ca), "--tls-cert", str(files.cert), "--tls-key", str(files.key)),
    ]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remote]:
    root, ca = tmp_path_factory.mktemp("remote"), trustme.CA()
    RUN_DIRS.append(root)
    files = certificates.issue(root / "service", ca, "localhost")
    redis = RedisProcess(root)
    redis.start()
    with contextlib.ExitStack() as stack:
        stack.callback(redis.kill)
        simulator = stack.enter_context(simulator_process.running(root, "--record"))
        policies = parts.policies_of(root, simulator.url)
        ports = {}
        for name, extra in (
            ("authz_service", []),
            ("ratelimit_service", ["--redis-url", redis.url]),
        ):
            ports[name], ready = free_port(), root / f"{name}.ready.json"
            command = service_command(name, ports[name], policies, files, ready)
            stack.enter_context(parts.process(root, name, [*command, *extra]))
            wait_for(ready.exists, name, 30)
        yield Remote(
            root, ca, policies, ports["authz_service"], ports["ratelimit_service"], simulator
        )


def test_with_certificates_on_both_sides_a_call_is_decided_sent_and_settled(
    remote: Remote,
) -> None:
    own = certificates.issue(remote.root / "client", remote.ca, "envoy.test")
    with remote.envoy(own, "good") as client:
        wait_for(lambda: client.get("/healthz").status_code == 200, "both services")
        answer = parts.chat(client)
        assert answer.status_code == 200
        assert answer.json()["usage"]["completion_tokens"] == 12
        ready = json.loads((remote.root / "ratelimit_service.ready.json").read_text())
        metrics = f"{ready['metrics']}/metrics"
        settled = 'tollhouse_settlements_total{outcome="settled",usage_source="reported"} 1.0'
        wait_for(lambda: settled in httpx.get(metrics, trust_env=False).text, "the settlement")


def test_an_envoy_with_a_certificate_of_another_ca_learns_nothing_and_sends_nothing(
    remote: Remote,
) -> None:
    stranger = certificates.issue(remote.root / "stranger", trustme.CA(), "envoy.test")
    before = len(remote.simulator.control("requests"))
    with remote.envoy(stranger, "bad") as client:
        answer = parts.chat(client)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "policy_unavailable")
        assert client.get("/healthz").status_code == 503
    assert len(remote.simulator.control("requests")) == before


@pytest.mark.parametrize("name", ["authz_service", "ratelimit_service"])
def test_a_service_does_not_listen_on_a_network_without_certificates(
    policies: Path, name: str
) -> None:
    command = [sys.executable, "-m", name, "--policies", str(policies), "--listen", "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert ended.returncode == 1
    assert "127.0.0.1:0 is a network address: give --tls-ca, --tls-cert and --tls-key" in (
        ended.stderr
    )
