"""tollhouse.serving.host: where a service may listen, and what it says of its health."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client import CollectorRegistry

from tests.support.certificates import Files, issue
from tests.unit.serving.hosting import Hosted, free_port, hosted, options
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.host import serve
from tollhouse.serving.readiness import Readiness

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return issue(tmp_path / "tls", trustme.CA(), "localhost", "127.0.0.1")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with hosted(options(tmp_path)) as running:
        yield running


async def refusal(folder: Path, **changed: Any) -> str:
    """Why a service with these options does not start."""
    chosen = options(folder, **changed)
    with pytest.raises(ServiceError) as refused:
        async with asyncio.timeout(10):
            await serve(chosen, lambda server: None, CollectorRegistry(), Readiness(), dict)
    assert not (folder / "ready.json").exists()
    return str(refused.value)


def tls(files: Files) -> dict[str, Path]:
    return {"tls_ca": files.ca, "tls_cert": files.cert, "tls_key": files.key}


def probe(service: Hosted, path: str) -> httpx.Response:
    """Blocks the event loop on purpose: the side door must answer while the loop is busy."""
    return httpx.get(f"{service.ready['metrics']}{path}", trust_env=False)


async def health(channel: grpc.aio.Channel) -> int:
    answer = await HealthStub(channel).Check(HealthCheckRequest(), timeout=10)
    status: int = answer.status
    return status


# Where it listens


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "localhost:0"])
async def test_a_network_address_without_tls_is_refused_loopback_included(
    tmp_path: Path, listen: str
) -> None:
    assert await refusal(tmp_path, listen=listen) == (
        f"{listen} is a network address: give --tls-ca, --tls-cert and --tls-key (Envoy and this "
        "service then check each other), or listen on unix:/path."
    )


@pytest.mark.parametrize("left_out", ["tls_ca", "tls_cert", "tls_key"])
@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:/nowhere/service.sock"])
async def test_tls_files_come_all_three_or_not_at_all(
    tmp_path: Path, files: Files, left_out: str, listen: str
) -> None:
    half = {**tls(files), left_out: None}
    message = "--tls-ca, --tls-cert and --tls-key go together: give all three"
    assert await refusal(tmp_path, listen=listen, **half) == message


@pytest.mark.parametrize("missing", ["tls_ca", "tls_cert", "tls_key"])
async def test_a_tls_file_that_is_not_there_is_named(
    tmp_path: Path, files: Files, missing: str
) -> None:
    nowhere = {**tls(files), missing: tmp_path / "nowhere.pem"}
    message = await refusal(tmp_path, listen="127.0.0.1:0", **nowhere)
    assert message.startswith("cannot listen on 127.0.0.1:0: ")
    assert "nowhere.pem" in message


async def test_a_port_that_another_listens_on_is_refused(tmp_path: Path, files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        message = await refusal(tmp_path, listen=listen, **tls(files))
    assert message.startswith(f"cannot listen on {listen}: ")


async def test_a_socket_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/nowhere/service.sock"
    assert (await refusal(tmp_path, listen=listen)).startswith(f"cannot listen on {listen}: ")


async def test_a_file_in_the_place_of_the_socket_is_refused_and_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("precious")
    listen = f"unix:{tmp_path}/notes.txt"
    assert (await refusal(tmp_path, listen=listen)).startswith(f"cannot listen on {listen}: ")
    assert (tmp_path / "notes.txt").read_text() == "precious"


async def test_two_services_do_not_share_a_port(tmp_path: Path, files: Files) -> None:
    listen = f"127.0.0.1:{free_port()}"
    (tmp_path / "second").mkdir()
    async with hosted(options(tmp_path, listen=listen, **tls(files))):
        message = await refusal(tmp_path / "second", listen=listen, **tls(files))
    assert message.startswith(f"cannot listen on {listen}: ")


@pytest.mark.parametrize("metrics", ["", "9090", ":9090", "127.0.0.1:http", "127.0.0.1:99999"])
async def test_an_address_of_metrics_that_is_none_is_refused(tmp_path: Path, metrics: str) -> None:
    message = await refusal(tmp_path, metrics=metrics)
    assert message.startswith(f"cannot serve metrics on {metrics}: ")


async def test_a_port_of_metrics_that_another_listens_on_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        metrics = f"127.0.0.1:{other.getsockname()[1]}"
        message = await refusal(tmp_path, metrics=metrics)
    assert message.startswith(f"cannot serve metrics on {metrics}: [Errno 98]")


async def test_a_socket_that_a_killed_service_left_behind_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/service.sock")
    async with hosted(options(tmp_path)) as service, plain(service) as channel:
        assert await health(channel) == SERVING


def plain(service: Hosted) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(service.options.listen)


async def test_over_tcp_only_a_client_with_a_certificate_of_the_ca_is_served(
    tmp_path: Path, files: Files
) -> None:
    listen = f"127.0.0.1:{free_port()}"
    stranger = issue(tmp_path / "stranger", trustme.CA(), "stranger")
    async with hosted(options(tmp_path, listen=listen, **tls(files))):
        async with secure(listen, files.ca, files) as channel:
            assert await health(channel) == SERVING
        for other in (None, stranger):
            async with secure(listen, files.ca, other) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await health(channel)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def secure(listen: str, ca: Path, client: Files | None) -> grpc.aio.Channel:
    pair = (client.key.read_bytes(), client.cert.read_bytes()) if client else (None, None)
    return grpc.aio.secure_channel(listen, grpc.ssl_channel_credentials(ca.read_bytes(), *pair))


# What it says


async def test_once_up_it_says_where_its_metrics_are_and_who_it_is(service: Hosted) -> None:
    assert service.ready["pid"] == os.getpid()
    assert probe(service, "/readyz").status_code == 200


async def test_grpc_health_follows_readiness(service: Hosted) -> None:
    async with plain(service) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=10)
        assert (await watch.read()).status == SERVING
        service.readiness.problem("redis", "away")
        assert (await watch.read()).status == NOT_SERVING
        assert await health(channel) == NOT_SERVING
        service.readiness.fine("redis")
        assert (await watch.read()).status == SERVING
        watch.cancel()


async def test_a_service_that_starts_with_a_problem_is_not_serving(tmp_path: Path) -> None:
    readiness = Readiness()
    readiness.problem("redis", "away")
    async with hosted(options(tmp_path), readiness) as service, plain(service) as channel:
        assert await health(channel) == NOT_SERVING


async def test_health_and_readyz_say_the_same(service: Hosted) -> None:
    service.readiness.problem("redis", "away")
    answer = probe(service, "/readyz")
    assert (answer.status_code, answer.json()["problems"]) == (503, {"redis": "away"})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_after_health_has_said_so(
    service: Hosted, number: signal.Signals
) -> None:
    async with plain(service) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=10)
        assert (await watch.read()).status == SERVING
        os.kill(os.getpid(), number)
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
    await asyncio.wait_for(service.task, 10)
    with pytest.raises(httpx.ConnectError):
        probe(service, "/livez")
