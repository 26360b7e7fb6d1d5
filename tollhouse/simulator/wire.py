"""From a reply to the pieces that are written, one write each."""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator

from tollhouse.simulator.directives import Directives
from tollhouse.simulator.reply import EVENTS, JSON, Header, Part, Reply

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_NOT_JSON = b'{"id": "chatcmpl-garbage", "choices": [{"index": 0, <<<\n'
_NOT_EVENTS = (
    b'data: {"id":"chatcmpl-garbage","choices":[{"index":0,"delta":{"cont\n\n'
    b"dat: {}\n\n"
    b"data:\n\n"
    b"\xff\xfe\x00\n\n"
    b'data: "usage"\n\n'
    b'data: {"usage": [1, 2]}\n\n'
    b"data: [DO"
)


def garbled(reply: Reply, kind: str) -> Reply:
    """The same answer, charged for as it was, after something in between has ruined it."""
    if kind == "json":
        return Reply(_NOT_JSON, JSON, charge=reply.charge)
    return Reply(iter((Part(_NOT_EVENTS, _tokens(reply)),)), EVENTS, charge=reply.charge)


def encode(reply: Reply, asked: Directives) -> tuple[list[Header], Iterator[Part]]:
    """The headers that describe the body, and the body in the pieces it is written in."""
    headers = [(b"content-type", reply.media_type), *reply.headers]
    if asked.gzip:
        headers.append((b"content-encoding", b"gzip"))
    if isinstance(reply.body, bytes):
        body = gzip.compress(reply.body, mtime=0) if asked.gzip else reply.body
        headers.append((b"content-length", b"%d" % len(body)))
        sent = body[: len(body) // 2] if asked.cuts_body else body
        parts: Iterable[Part] = (Part(sent, _tokens(reply)),)
    else:
        parts = _stream(reply, reply.body, asked)
    return headers, iter(parts if asked.split is None else _split(parts, asked.split))


def _tokens(reply: Reply) -> int:
    return reply.charge.counts.output_tokens if reply.charge else 0


def _stream(reply: Reply, parts: Iterable[Part], asked: Directives) -> Iterable[Part]:
    if asked.error_after is not None and reply.failure is not None:
        parts = _fail(parts, min(asked.error_after, reply.contents), reply.failure)
    if asked.stall == "mid_stream":
        parts = _first(parts, reply.contents // 2)
    elif asked.abort_after is not None:
        parts = _first(parts, asked.abort_after)
    if asked.crlf:
        parts = (part._replace(data=part.data.replace(b"\n", b"\r\n")) for part in parts)
    if asked.merge > 1:
        parts = _merge(parts, asked.merge)
    return _gzip(parts) if asked.gzip else parts


def _first(parts: Iterable[Part], contents: int) -> Iterator[Part]:
    """Everything up to the last of that many content events."""
    for part in parts:
        contents -= part.content
        if contents < 0:
            return
        yield part
        if part.content and contents == 0:
            return


def _fail(parts: Iterable[Part], contents: int, failure: Callable[[int], bytes]) -> Iterator[Part]:
    sent = 0
    for part in _first(parts, contents):
        sent += 1
        yield part
    yield Part(failure(sent))


def _merge(parts: Iterable[Part], count: int) -> Iterator[Part]:
    iterator = iter(parts)
    while group := list(itertools.islice(iterator, count)):
        yield Part(b"".join(part.data for part in group), sum(part.tokens for part in group))


def _split(parts: Iterable[Part], size: int) -> Iterator[Part]:
    """Pieces of exactly `size` bytes, whatever the parts' bounds; only the last is shorter."""
    waiting, tokens = bytearray(), 0
    for part in parts:
        waiting += part.data
        tokens += part.tokens
        while len(waiting) >= size:
            yield Part(bytes(waiting[:size]), tokens)
            del waiting[:size]
            tokens = 0
    if waiting:
        yield Part(bytes(waiting), tokens)


def _gzip(parts: Iterable[Part]) -> Iterator[Part]:
    """One gzip stream that can be read up to each part as soon as that part has arrived."""
    compressor = zlib.compressobj(wbits=_GZIP_WINDOW)
    for part in parts:
        data = compressor.compress(part.data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield part._replace(data=data)
    yield Part(compressor.flush())
