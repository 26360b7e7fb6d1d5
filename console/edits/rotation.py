"""A new key under an id; the old one stays valid for a while."""

from __future__ import annotations

import shlex
from datetime import datetime, timedelta

from console.edits.data import Data, of_key
from console.edits.editor import Change
from console.edits.laying import lay
from console.edits.policy import KeyEntry, Policy
from console.problems import ManageError
from tollhouse.keyring import moments
from tollhouse.keyring.actions import MOST_PREVIOUS
from tollhouse.policy.compiled import Key
from tollhouse.policy.editing.draft import Draft

_LONGEST_OVERLAP = timedelta(days=365)


def rotate(  # noqa: PLR0913, PLR0917 - the draft, the key, and what was asked
    draft: Draft, policy: Policy, entry: KeyEntry, overlap: str, sha256: str, now: datetime
) -> Change:
    """Raises ManageError `invalid_request`."""
    lasting, key = _duration(overlap), policy.snapshot.keys[entry.key.id]
    old = of_key(entry.key)
    previous = _still_valid(old, key, now)
    if lasting:
        if len(previous) >= MOST_PREVIOUS:
            raise _too_many(key, now)
        ends = moments.whole_second_after(now + lasting)
        previous = [*previous, {"sha256": old["sha256"], "valid_until": ends}]
    new: Data = {**old, "sha256": sha256, "previous": previous}
    if not previous:
        del new["previous"]
    _lay_previous(draft, entry, old, new)
    command = f"tollhouse keys rotate {shlex.quote(key.id)} --overlap {shlex.quote(overlap)}"
    return Change("key.rotate", key.id, entry.team, old, new, command)


def _duration(overlap: str) -> timedelta:
    try:
        lasting = moments.duration(overlap)
    except (moments.MomentError, OverflowError):
        message = "'overlap' must be a duration such as 12h, 7d, or 0"
        raise ManageError("invalid_request", message, param="overlap") from None
    if lasting > _LONGEST_OVERLAP:
        message = f"'overlap' must be at most {_LONGEST_OVERLAP.days} days"
        raise ManageError("invalid_request", message, param="overlap")
    return lasting


def _still_valid(old: Data, key: Key, now: datetime) -> list[Data]:
    return [
        each
        for each in old.get("previous", [])
        if key.previous.get(each["sha256"], 0.0) > now.timestamp()
    ]


def _lay_previous(draft: Draft, entry: KeyEntry, old: Data, new: Data) -> None:
    """Those whose time has passed are taken out one by one, what is beside the others stays."""
    file, path = entry.document.file, (*entry.path, "previous")
    before, after = old.get("previous", []), new.get("previous", [])
    for each in after:
        if each not in before:
            draft.append(file, path, each)
    if before and not after:
        draft.remove(file, path)
    for index in reversed(range(len(before) if after else 0)):
        if before[index] not in after:
            draft.remove(file, (*path, index))
    lay(draft, file, entry.path, {**old, "previous": after}, {**new, "previous": after})


def _too_many(key: Key, now: datetime) -> ManageError:
    first = min(until for until in key.previous.values() if until > now.timestamp())
    message = (
        f"{MOST_PREVIOUS} earlier keys of '{key.id}' are still valid, the first until"
        f" {moments.said(first)}: wait for that, or end the present key at once with overlap 0"
    )
    return ManageError("invalid_request", message, param="overlap")
