"""One record of the audit log, how it is written, and its hash. Pure.

A line is the record as JSON: members in the order of `MEMBERS`, UTF-8, no space between tokens.
Its hash is the SHA-256 of `previous_hash` (64 hex digits, as text) followed by the line up to
`,"hash":` and a `}`. So it can be checked without a JSON parser, and every byte counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from console.actors import Actor

Outcome = Literal["allowed", "refused", "failed"]

GENESIS: Final = "0" * 64
"""`previous_hash` of the first record."""

MEMBERS: Final = (
    *("seq", "time", "actor", "action", "target", "outcome", "code", "before", "after"),
    *("client_address", "request_id", "policy_before", "policy_after", "previous_hash", "hash"),
)

_HASH: Final = ',"hash":"'
_HASH_END: Final = '"}'
_HASH_LENGTH: Final = len(_HASH) + len(GENESIS) + len(_HASH_END)


class Head(NamedTuple):
    """The last record: all that is needed to continue the chain, or to see that its end is gone."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


NOTHING: Final = Head(0, GENESIS)
"""The head of a log without a record."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be recorded; what it holds of secrets is hidden when it is written.

    `actor`: None where nobody is known (a refused sign-in, a file edited by hand). `target` is
    `KIND:ID`, such as `key:web-1`. `code`: of the refusal. `before` and `after`: JSON objects,
    None where there was, or is, nothing. `policy_before`, `policy_after`: versions.
    """

    action: str
    target: str
    outcome: Outcome
    actor: Actor | None = None
    code: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    client_address: str | None = None
    request_id: str | None = None
    policy_before: str | None = None
    policy_after: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the log, as a JSON object of `MEMBERS`."""

    fields: Mapping[str, Any]

    @property
    def seq(self) -> int:
        return int(self.fields["seq"])

    @property
    def hash(self) -> str:
        return str(self.fields["hash"])

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


def line_of(fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """The line of a record, newline included, and its hash. `fields` are all members but `hash`."""
    text = canonical({name: fields[name] for name in MEMBERS if name != "hash"})
    digest = hash_of(fields["previous_hash"], text)
    return text[:-1] + f"{_HASH}{digest}{_HASH_END}\n".encode(), digest


def canonical(value: object) -> bytes:
    """JSON without a space between tokens, in UTF-8. What JSON has no word for is its text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    # A lone surrogate, which JSON can name and UTF-8 cannot hold.
    return text.encode("utf-8", "replace")


def hash_of(previous_hash: str, text: bytes) -> str:
    """64 hex digits. `text` is the record without `hash`."""
    return hashlib.sha256(previous_hash.encode("utf-8", "surrogatepass") + text).hexdigest()


def split(line: bytes) -> tuple[bytes, str] | None:
    """The text that a line's hash is about, and that hash; None if it does not end in one."""
    end = line[-_HASH_LENGTH:].decode("ascii", "replace")
    digest = end[len(_HASH) : -len(_HASH_END)]
    if not (end.startswith(_HASH) and end.endswith(_HASH_END)) or set(digest) - _HEX:
        return None
    return line[:-_HASH_LENGTH] + b"}", digest


_HEX: Final = set("0123456789abcdef")


def parsed(line: bytes) -> Record | None:
    """The record of a line without its newline, whose own hash is right; else None."""
    found = split(line)
    if found is None:
        return None
    text, digest = found
    try:
        fields = json.loads(line)
        seq, previous = fields["seq"], fields["previous_hash"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_record = isinstance(seq, int) and seq > 0 and isinstance(previous, str)
    if not is_record or fields["hash"] != digest or hash_of(previous, text) != digest:
        return None
    return Record(fields)
