"""The policy in force, and what versions differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from authz_service.diff.changes import Change
from authz_service.diff.compare import compare
from console.pages.views import numbers
from tollhouse.policy.compiled import Snapshot


class Dated(Protocol):
    """A version that was in force, and since when (seconds since the epoch)."""

    @property
    def version(self) -> str: ...
    @property
    def since(self) -> float: ...


@dataclass(frozen=True, slots=True)
class PolicyState:
    """`problems` is not empty where the files hold mistakes and the version before is in force."""

    version: str
    since: str | None
    since_iso: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A line of the history; `who` and `what` are from the audit log, where the role may see it."""

    version: str
    since: str
    since_iso: str
    ago: str
    who: str | None
    what: str | None
    is_current: bool
    before: str | None


@dataclass(frozen=True, slots=True)
class Sentence:
    """One change; `sign` and `word` say the same."""

    sign: str
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Changes for a team, or for everyone."""

    name: str
    changes: tuple[Sentence, ...]


Made = Mapping[str, Any]
"""A record of the audit log."""

_WORDS = {
    "wider": ("+", "widens"),
    "narrower": ("\N{MINUS SIGN}", "narrows"),
    "other": ("~", "changes"),
}


def state_of_policy(
    version: str, newest: Dated | None, problems: tuple[str, ...], now: float
) -> PolicyState:
    """`newest` is the last version of the history."""
    since = newest.since if newest and newest.version == version else None
    return PolicyState(
        version=version,
        since=None if since is None else numbers.ago(since, now),
        since_iso=None if since is None else numbers.iso(since),
        problems=problems,
    )


def versions(
    kept: Sequence[Dated], current: str, records: Mapping[str, Made], now: float
) -> list[Version]:
    """The newest first. `records` are those of the audit log, by the version that they made."""
    return [
        Version(
            version=each.version,
            since=numbers.moment(each.since),
            since_iso=numbers.iso(each.since),
            ago=numbers.ago(each.since, now),
            who=_who(records.get(each.version)),
            what=_what(records.get(each.version)),
            is_current=index == 0 and each.version == current,
            before=kept[index + 1].version if index + 1 < len(kept) else None,
        )
        for index, each in enumerate(kept)
    ]


def groups(old: Snapshot, new: Snapshot) -> list[Group]:
    """What is different, in sentences."""
    return [Group(name, tuple(map(_sentence, changes))) for name, changes in compare(old, new)]


def by_version(records: Iterable[Mapping[str, Any]]) -> dict[str, Made]:
    """Of the records that made a version, the last for each."""
    return {str(record["policy_after"]): record for record in records if record.get("policy_after")}


def _sentence(change: Change) -> Sentence:
    sign, word = _WORDS[change.direction]
    return Sentence(sign, word, change.text)


def _who(record: Mapping[str, Any] | None) -> str | None:
    if record is None:
        return None
    actor = record.get("actor")
    return str(actor["id"]) if actor else "the files"


def _what(record: Mapping[str, Any] | None) -> str | None:
    return None if record is None else f"{record['action']} {record['target']}"
