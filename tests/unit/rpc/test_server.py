"""tollhouse.rpc.server: calls of grpcio's own client, over a real socket."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from socket import socketpair
from typing import Any

import grpc
import pytest
import trustme

from tests.support.certificates import Files, issue
from tests.unit.rpc.echo import ECHO, LATER, TAKEN
from tests.unit.serving.hosting import free_port
from tollhouse.rpc import core
from tollhouse.rpc.calls import CallFailed
from tollhouse.rpc.server import Server

PATH = "/test.Service/Method"


@asynccontextmanager
async def serving(
    socket: Path, register: Callable[[Server], None]
) -> AsyncIterator[grpc.aio.Channel]:
    server = started(socket, register)
    try:
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield channel
    finally:
        await server.stop(0)


def started(socket: Path, register: Callable[[Server], None]) -> Server:
    server = Server()
    register(server)
    server.listen(f"unix:{socket}")
    server.start()
    return server


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "test.sock"


async def ask(channel: grpc.aio.Channel, message: bytes, path: str = PATH) -> bytes:
    answer: bytes = await channel.unary_unary(path)(message, timeout=10)
    return answer


async def failure(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


def fail(message: bytes) -> bytes:
    raise CallFailed(grpc.StatusCode.NOT_FOUND, f"no {message.decode()} here")


def break_down(message: bytes) -> bytes:
    raise ValueError(message.decode())


async def fail_later(message: bytes) -> bytes:
    return fail(message)


async def break_down_later(message: bytes) -> bytes:
    return break_down(message)


async def fail_between(message: bytes) -> AsyncIterator[bytes]:
    yield b"first"
    fail(message)


# How a call ends


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
async def test_a_message_is_answered_whatever_its_size(socket: Path, size: int) -> None:
    async with serving(socket, lambda server: server.unary(PATH, lambda it: it[::-1])) as channel:
        message = (b"0123456789" * (size // 10 + 1))[:size]
        assert await ask(channel, message) == message[::-1]


async def test_calls_at_once_get_each_its_own_answer_in_any_order(socket: Path) -> None:
    async def sleep(message: bytes) -> bytes:
        await asyncio.sleep(int(message) / 1e5)
        return message

    async with serving(socket, lambda server: server.unary_async(PATH, sleep)) as channel:
        messages = [str(number * 37 % 500).encode() for number in range(500)]
        assert await asyncio.gather(*(ask(channel, each) for each in messages)) == messages


@pytest.mark.parametrize(
    "register",
    [
        lambda server: server.unary(PATH, fail),
        lambda server: server.unary_async(PATH, fail_later),
        lambda server: server.server_stream(PATH, fail_between),
    ],
    ids=["unary", "unary_async", "server_stream"],
)
async def test_a_handler_s_failure_is_the_status(
    socket: Path, register: Callable[[Server], None]
) -> None:
    async with serving(socket, register) as channel:
        assert await failure(_last(channel)) == (grpc.StatusCode.NOT_FOUND, "no such here")


async def _last(channel: grpc.aio.Channel) -> None:
    async for _ in channel.unary_stream(PATH)(b"such", timeout=10):
        pass


@pytest.mark.parametrize(
    "register",
    [
        lambda server: server.unary(PATH, break_down),
        lambda server: server.unary_async(PATH, break_down_later),
        lambda server: server.client_stream(PATH, break_down),
    ],
    ids=["unary", "unary_async", "client_stream"],
)
async def test_what_a_handler_did_not_expect_is_logged_and_not_told(
    socket: Path, register: Callable[[Server], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(socket, register) as channel:
        code, details = await failure(ask(channel, b"inner"))
    assert (code, details) == (grpc.StatusCode.UNKNOWN, "failed: see the service's log")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "inner"


async def test_a_method_that_is_not_there_is_unimplemented(socket: Path) -> None:
    async with serving(socket, lambda server: server.unary(PATH, fail)) as channel:
        code, _ = await failure(ask(channel, b"", "/test.Service/Other"))
        assert code is grpc.StatusCode.UNIMPLEMENTED


async def test_a_call_without_a_message_is_refused(socket: Path) -> None:
    async with serving(socket, lambda server: server.unary(PATH, fail)) as channel:
        stream = channel.stream_unary(PATH)(iter(()), timeout=10)
        assert await failure(stream) == (grpc.StatusCode.INTERNAL, "the call had no message")


# Streams


async def test_messages_of_a_stream_are_taken_in_order_and_it_ends_with_an_answer(
    socket: Path,
) -> None:
    taken: list[bytes] = []
    async with serving(socket, lambda server: server.client_stream(PATH, taken.append)) as channel:
        sent = [str(number).encode() for number in range(200)]
        assert await channel.stream_unary(PATH)(iter(sent), timeout=10) == b""
    assert taken == sent


async def test_a_stream_that_breaks_off_ends_nothing_else(socket: Path) -> None:
    taken: list[bytes] = []
    async with serving(socket, lambda server: server.client_stream(PATH, taken.append)) as channel:
        broken = channel.stream_unary(PATH)(timeout=10)
        await broken.write(b"one")
        broken.cancel()
        assert await channel.stream_unary(PATH)(iter([b"two"]), timeout=10) == b""
    assert taken[-1] == b"two"


async def test_what_is_yielded_is_sent_one_after_the_other(socket: Path) -> None:
    async def count(message: bytes) -> AsyncIterator[bytes]:
        for number in range(int(message)):
            yield str(number).encode()

    async with serving(socket, lambda server: server.server_stream(PATH, count)) as channel:
        got = [each async for each in channel.unary_stream(PATH)(b"50", timeout=10)]
    assert got == [str(number).encode() for number in range(50)]


# Clients that give up


class Waiting:
    """A handler that never ends by itself."""

    def __init__(self) -> None:
        self.begun, self.cancelled = asyncio.Event(), asyncio.Event()

    async def __call__(self, message: bytes) -> bytes:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return message

    async def stream(self, message: bytes) -> AsyncIterator[bytes]:
        yield message
        await self(message)


@pytest.mark.parametrize("is_stream", [False, True])
async def test_a_handler_is_cancelled_when_its_client_cancels(
    socket: Path, is_stream: bool
) -> None:
    waiting = Waiting()

    def register(server: Server) -> None:
        server.unary_async(PATH, waiting)
        server.server_stream("/test.Service/Stream", waiting.stream)

    async with serving(socket, register) as channel:
        if is_stream:
            call = channel.unary_stream("/test.Service/Stream")(b"", timeout=10)
            await call.read()
        else:
            call = channel.unary_unary(PATH)(b"", timeout=10)
        async with asyncio.timeout(10):
            await waiting.begun.wait()
            call.cancel()
            await waiting.cancelled.wait()


async def test_a_handler_is_cancelled_when_its_deadline_is_over(socket: Path) -> None:
    waiting = Waiting()
    async with serving(socket, lambda server: server.unary_async(PATH, waiting)) as channel:
        code, _ = await failure(channel.unary_unary(PATH)(b"", timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        async with asyncio.timeout(10):
            await waiting.cancelled.wait()


# Its end


async def test_a_call_under_way_is_answered_within_the_grace(socket: Path) -> None:
    begun = asyncio.Event()

    async def answer(message: bytes) -> bytes:
        begun.set()
        await asyncio.sleep(0.1)
        return message

    server = started(socket, lambda server: server.unary_async(PATH, answer))
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call = asyncio.create_task(ask(channel, b"late"))
        await begun.wait()
        await server.stop(10)
        assert await call == b"late"
        code, _ = await failure(channel.unary_unary(PATH)(b"new", timeout=10))
        assert code is grpc.StatusCode.UNAVAILABLE


async def test_after_the_grace_what_is_left_is_cancelled(socket: Path) -> None:
    waiting = Waiting()
    server = started(socket, lambda server: server.unary_async(PATH, waiting))
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call = asyncio.create_task(ask(channel, b""))
        await waiting.begun.wait()
        await server.stop(0.1)
        assert waiting.cancelled.is_set()
        await failure(call)


# The loop is woken by descriptors


async def test_what_the_loop_waits_for_besides_is_not_taken_for_the_core_s(socket: Path) -> None:
    server = Server()
    server.unary(PATH, lambda message: message)
    server.listen(f"unix:{socket}")
    one, other = socketpair()
    asyncio.get_running_loop().add_reader(one, one.recv, 1)
    server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        assert await ask(channel, b"message") == b"message"
    await server.stop(0)
    asyncio.get_running_loop().remove_reader(one)
    one.close()
    other.close()


@contextmanager
def echoing(address: str, *files: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.unit.rpc.echo", address, *map(str, files)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield
        finally:
            process.communicate()
    assert process.returncode == 0


async def asked(channel: grpc.aio.Channel, path: str, times: int) -> None:
    for number in range(times):
        message = str(number).encode()
        assert await ask(channel, message, path) == message


async def ready(channels: list[grpc.aio.Channel]) -> None:
    """A handshake ends in another thread, and what it finds behind it makes nothing readable."""
    await asyncio.gather(*(channel.channel_ready() for channel in channels))


@pytest.mark.parametrize("path", [ECHO, LATER])
@pytest.mark.parametrize("connections", [1, 8])
async def test_no_call_waits_for_another_one_to_be_seen(
    socket: Path, path: str, connections: int
) -> None:
    own = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share one
    with echoing(f"unix:{socket}"):
        channels = [
            grpc.aio.insecure_channel(f"unix:{socket}", options=own) for _ in range(connections)
        ]
        await ready(channels)
        log = channels[0].stream_unary(TAKEN)(timeout=60)
        await log.write(b"an entry")
        await asyncio.gather(*(asked(each, path, 500) for each in channels))
        for channel in channels:  # a burst, then one alone
            await asyncio.gather(*(ask(channel, b"", path) for _ in range(64)))
            await asked(channel, path, 2)
        await log.done_writing()
        assert await log == b""
        for channel in channels:
            await channel.close()


async def test_where_the_descriptor_cannot_be_found_calls_are_answered_all_the_same(
    socket: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(core, "_OPEN_FILES", socket.parent / "no-proc")
    async with serving(socket, lambda server: server.unary(PATH, lambda it: it)) as channel:
        await asked(channel, PATH, 50)
    assert [each.getMessage() for each in caplog.records] == [
        "it cannot be seen where gRPC's core waits: calls take a millisecond more"
    ]


async def test_over_tls_no_call_waits_either(tmp_path: Path) -> None:
    files: Files = issue(tmp_path / "tls", trustme.CA(), "localhost", "127.0.0.1")
    address = f"127.0.0.1:{free_port()}"
    credentials = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.key.read_bytes(), files.cert.read_bytes()
    )
    with echoing(address, files.ca, files.cert, files.key):
        async with grpc.aio.secure_channel(address, credentials) as channel:
            await ready([channel])
            await asked(channel, LATER, 500)
