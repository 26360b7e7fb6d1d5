"""Behaviour on demand: the `x-simulate` request header.

The header is a comma-separated list of directives, `name=value` or a bare `name`. An unknown,
repeated or badly valued one is refused, so that a misspelt fault never passes as a healthy answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

MAX_TOKENS = 1_000_000
_MAX_MILLISECONDS = 3_600_000
_MAX_BYTES = 1 << 20


class DirectiveError(ValueError):
    """A header that asks for something the simulator does not do; the message says what it does."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What a request asks for.

    completion_tokens: what usage reports for each choice, 12 unless given, reasoning included
        (without it, reasoning comes on top of the 12); capped by the request's token limit.
    reasoning_tokens: the hidden part of each choice's completion.
    cached_tokens: reported as given, even above the prompt's count. On Anthropic's messages they
        are the first of the prompt, and what of them was marked for the cache is not written.
    cache_write_tokens: reported as given (OpenAI's shape; Anthropic's follow from cache_control).
    input_audio_tokens, output_audio_tokens: reported as given, as parts of a chat's tokens.
    service_tier: the tier the answer says it was served at, instead of the one asked for.
    tool_call: call the first tool, though none was forced, unless the last message answers one.
    status: an OpenAI-shaped error of that status. retry_after: seconds, its `retry-after` header.
    html_error: that status with the HTML body of a CDN.
    stall: "before_headers" or "mid_stream" (half of the body): silence until the client leaves.
    delay_ms: before the headers. token_delay_ms: between two writes of the body.
    error_after: content events sent before the error event of a stream that fails; a body that is
        no stream does not fail so.
    image_bytes: the size of each image made.
    abort_after: content events sent before the connection is dropped, with the rest of the stream
        when there are fewer; a JSON body is dropped half-way, whatever the number.
    garbage: status 200 with a body that is not "json", or with malformed events ("sse").
    no_usage: usage is nowhere in the answer. usage_always: a chat's stream has its usage event
        unasked.
    gzip: content-encoding gzip, asked for or not.
    split: write the body in pieces of that many bytes, across events. merge: events in one write.
    crlf: event lines end in CR LF.
    usage_in_last_content: usage rides on the last finish event, asked for or not, and has no event
        of its own.
    usage_first: in a JSON body, usage comes before choices (or data); in Anthropic's stream, the
        last event counts the output only, so that the input's counts have come first or never.
    """

    completion_tokens: int | None = None
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    service_tier: str = ""
    tool_call: bool = False
    status: int | None = None
    retry_after: int | None = None
    html_error: int | None = None
    stall: str | None = None
    delay_ms: int = 0
    token_delay_ms: int = 0
    abort_after: int | None = None
    error_after: int | None = None
    image_bytes: int = 0
    garbage: str | None = None
    no_usage: bool = False
    usage_always: bool = False
    gzip: bool = False
    split: int | None = None
    crlf: bool = False
    merge: int = 1
    usage_in_last_content: bool = False
    usage_first: bool = False

    @property
    def cuts_body(self) -> bool:
        """Whether the body stops before its end."""
        return self.abort_after is not None or self.stall == "mid_stream"


PLAIN = Directives()

_Value = int | str | bool


@dataclass(frozen=True, slots=True)
class _Kind:
    """How one directive is written, and how its value is read (None: not a value)."""

    form: str
    read: Callable[[str | None], _Value | None]


def _number(low: int, high: int) -> _Kind:
    def read(text: str | None) -> int | None:
        # isdecimal alone would let other scripts' digits through; the length bounds int().
        if text is None or not (text.isascii() and text.isdecimal()) or len(text) > 9:
            return None
        return value if low <= (value := int(text)) <= high else None

    return _Kind(f"={low}..{high}", read)


def _choice(*names: str) -> _Kind:
    return _Kind("=" + "|".join(names), lambda text: text if text in names else None)


_FLAG = _Kind("", lambda text: True if text is None else None)
_TOKENS = _number(0, MAX_TOKENS)
_ERROR_STATUS = _number(400, 599)
_MILLISECONDS = _number(0, _MAX_MILLISECONDS)

_KINDS = {
    "completion_tokens": _TOKENS,
    "reasoning_tokens": _TOKENS,
    "cached_tokens": _TOKENS,
    "cache_write_tokens": _TOKENS,
    "input_audio_tokens": _TOKENS,
    "output_audio_tokens": _TOKENS,
    "service_tier": _choice("default", "flex", "priority", "standard", "batch", "scale"),
    "tool_call": _FLAG,
    "status": _ERROR_STATUS,
    "retry_after": _number(0, 86_400),
    "html_error": _ERROR_STATUS,
    "stall": _choice("before_headers", "mid_stream"),
    "delay_ms": _MILLISECONDS,
    "token_delay_ms": _MILLISECONDS,
    "abort_after": _TOKENS,
    "error_after": _TOKENS,
    "image_bytes": _number(0, 64 << 20),
    "garbage": _choice("json", "sse"),
    "no_usage": _FLAG,
    "usage_always": _FLAG,
    "gzip": _FLAG,
    "split": _number(1, _MAX_BYTES),
    "crlf": _FLAG,
    "merge": _number(1, MAX_TOKENS),
    "usage_in_last_content": _FLAG,
    "usage_first": _FLAG,
}
KNOWN = ", ".join(name + kind.form for name, kind in _KINDS.items())


@lru_cache(maxsize=1024)
def parse(header: str) -> Directives:
    """The directives of one header value; an empty value asks for nothing.

    Raises:
        DirectiveError: an unknown, repeated, badly valued or misplaced directive.
    """
    if not header.strip():
        return PLAIN
    values: dict[str, _Value] = {}
    for item in header.split(","):
        name, value = _read(item.strip())
        if name in values:
            raise DirectiveError(f"x-simulate: {name} is given twice")
        values[name] = value
    if "retry_after" in values and "status" not in values:
        raise DirectiveError("x-simulate: retry_after goes with status, as in status=429")
    return Directives(**values)  # type: ignore[arg-type]  # _KINDS reads each field's own type


def _read(item: str) -> tuple[str, _Value]:
    name, separator, text = item.partition("=")
    kind = _KINDS.get(name)
    value = kind.read(text if separator else None) if kind else None
    if value is None:
        raise DirectiveError(f"x-simulate: {item!r} is not a directive; known are {KNOWN}")
    return name, value
