"""The key of a request."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from tollhouse.simulator.reply import Header

_BEARER = b"bearer "


def given_key(headers: Iterable[Header], names: tuple[str, ...]) -> bytes | None:
    """The key in the first of the named headers that is there; `authorization` has it as a bearer
    token, and another scheme is no key."""
    by_name = dict(reversed(list(headers)))
    for name in names:
        value = by_name.get(name.encode())
        if value is not None and name == "authorization":
            bearer = value[: len(_BEARER)].lower() == _BEARER
            return value[len(_BEARER) :].strip() if bearer else None
        if value is not None:
            return value.strip()
    return None


def is_one_of(given: bytes, keys: tuple[bytes, ...]) -> bool:
    """Whether it is a key. Every key is compared in full, so that the time taken tells nothing."""
    matches = [hmac.compare_digest(given, key) for key in keys]
    return any(matches)
