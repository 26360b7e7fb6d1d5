"""Which key of a policy a string is, without the string in any answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tollhouse import keys
from tollhouse.keyring import moments
from tollhouse.keyring.listing import why_blocked
from tollhouse.policy.compiled import Key, Snapshot
from tollhouse.policy.lifetimes import state_of


@dataclass(frozen=True, slots=True)
class Identified:
    """`state`: that of the key, or `replaced` (by a rotation), `mistyped`, `unknown`.

    `credential` is `current`, or `previous` for a key that a rotation replaced. `until` is the
    moment, in seconds since the epoch, at which the string ends; None: never, or it has no end.
    """

    state: str
    said: str
    key: Key | None = None
    credential: str | None = None
    until: float | None = None


def identify(snapshot: Snapshot, text: str, now: float) -> Identified:
    """What a string is to this policy."""
    sha256 = keys.sha256_hex(text)
    key = snapshot.keys_by_hash.get(sha256)
    if key is None:
        return _unknown(text)
    where = f"{key.id} (team {key.team}, project {key.project})"
    if sha256 != key.sha256:
        return _previous(key, where, key.previous[sha256], now)
    state = state_of(key, now)
    end = "never expires" if key.expires_at is None else f"ends {moments.said(key.expires_at)}"
    why = f": {why_blocked(key)}" if why_blocked(key) else ""
    return Identified(state, f"{where}: {state}{why}; {end}", key, "current", key.expires_at)


def as_fields(found: Identified) -> dict[str, Any]:
    """For JSON."""
    return {
        "state": found.state,
        "id": found.key.id if found.key else None,
        "team": found.key.team if found.key else None,
        "project": found.key.project if found.key else None,
        "credential": found.credential,
        "until": None if found.until is None else moments.iso(found.until),
    }


def _previous(key: Key, where: str, until: float, now: float) -> Identified:
    ends = until if key.expires_at is None else min(until, key.expires_at)
    state = "replaced" if ends <= now else state_of(key, now)
    usable = "no longer valid since" if ends <= now else f"{state}, valid until"
    said = f"an earlier key of {where}: {usable} {moments.said(ends)}"
    return Identified(state, said, key, "previous", ends)


def _unknown(text: str) -> Identified:
    if text.startswith(keys.PREFIX) and not keys.looks_valid(text):
        return Identified("mistyped", "mistyped: the checksum of this tlh_ key is wrong")
    return Identified("unknown", "unknown: no key of this policy, nor one that it still remembers")
