"""Streams at a constant rate of starts, and when the first event of each arrives.

wrk does not tell the first byte from the last, so this is a small client of our own. Every time
is taken from the moment a stream was to start, so that a client that is late does not hide it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from bench.figures import percentile
from bench.targets import KEY, Door

_END = b"0\r\n\r\n"  # the last chunk of HTTP/1.1; marks inside of events can be cut by chunks
_DRAIN_SECONDS = 10.0


class StreamError(Exception):
    """Streams that broke off, were refused, or did not end in time; the message says how many."""


@dataclass(slots=True)
class Stream:
    """One of them, in seconds of the loop's clock."""

    due: float
    first: float | None = None
    last: float | None = None
    status: bytes = b""


@dataclass(frozen=True, slots=True)
class Plan:
    """So many streams under way at once, each lasting `length` seconds, for `seconds` after the
    number is reached."""

    concurrent: int
    length: float
    seconds: float
    starts: list[float] = field(init=False)

    def __post_init__(self) -> None:
        rate = self.concurrent / self.length
        count = int((self.length + self.seconds) * rate)
        object.__setattr__(self, "starts", [n / rate for n in range(count)])


async def run(door: Door, key: str, body: bytes, plan: Plan) -> dict[str, float]:
    """What was measured of those that started with all the others under way. Raises StreamError."""
    begun = time.monotonic()
    streams = [Stream(begun + start) for start in plan.starts]
    tasks = []
    for stream in streams:
        await asyncio.sleep(max(0.0, stream.due - time.monotonic()))
        tasks.append(asyncio.create_task(_one(door, _request(door, key, body), stream)))
    _, late = await asyncio.wait(tasks, timeout=plan.length + _DRAIN_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return figures(streams, begun + plan.length)


def figures(streams: Sequence[Stream], measured_from: float) -> dict[str, float]:
    """Raises StreamError when one of them did not reach its end."""
    broken = [stream for stream in streams if stream.last is None]
    if broken:
        seen = sorted({stream.status.decode(errors="replace") or "none" for stream in broken})
        raise StreamError(
            f"{len(broken)} of {len(streams)} streams did not end (status: {', '.join(seen)})"
        )
    counted = [one for one in streams if one.due >= measured_from]
    first = [1e3 * (cast(float, one.first) - one.due) for one in counted]
    whole = [1e3 * (cast(float, one.last) - one.due) for one in counted]
    return {
        "streams": len(streams),
        "p50_ms": percentile(first, 50),
        "p99_ms": percentile(first, 99),
        "p999_ms": percentile(first, 99.9),
        "whole_p50_ms": percentile(whole, 50),
        "whole_p99_ms": percentile(whole, 99),
    }


def _request(door: Door, key: str, body: bytes) -> bytes:
    at = urlsplit(door.url)
    head = {"host": at.netloc, "content-length": str(len(body)), "connection": "close"}
    lines = [f"POST {at.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in {**head, **door.headers}.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").replace(KEY, key).encode() + body


async def _one(door: Door, request: bytes, stream: Stream) -> None:
    at = urlsplit(door.url)
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        stream.status = head.partition(b"\r\n")[0]
        if stream.status.split(b" ")[1:2] == [b"200"]:
            await _read(reader, stream)
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader, stream: Stream) -> None:
    """The body, whose end closes the connection."""
    tail = b""
    while chunk := await reader.read(65536):
        moment = time.monotonic()
        stream.first = stream.first or moment
        tail = (tail + chunk)[-len(_END) :]
        if tail == _END:
            stream.last = moment
            return
