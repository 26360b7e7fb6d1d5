"""What can be done to a key in a policy. Each action is one edit, or none at all.

All raise EditError, or WouldBeRefused, when nothing was changed. `now` has a time zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from tollhouse import keys
from tollhouse.keyring import moments
from tollhouse.keyring.places import KeyPlace, home_of, place_of
from tollhouse.policy.compiled import Key
from tollhouse.policy.editing.draft import Draft, open_draft
from tollhouse.policy.editing.errors import EditError

MOST_PREVIOUS = 4
REASON = "blocked_reason"
"""The metadata of a blocked key that says why."""
BLOCKED_BY = "blocked_by"
"""And who blocked it, where it was by the management API."""


@dataclass(frozen=True, slots=True)
class Done:
    """A key after an action. `api_key` is a new key, to be shown once.

    `changed` is false where all was so already. `previous_until` is when the key that a rotation
    replaced ends, in seconds since the epoch; None where it ended at once.
    """

    key: Key
    place: KeyPlace
    changed: bool = True
    api_key: str | None = None
    previous_until: float | None = None


def new(
    directory: Path, team: str, project: str, file: str | None, entry: Mapping[str, Any]
) -> Done:
    """Put a new key into a project. `entry` is what its policy says, but for the hash."""
    with open_draft(directory) as draft:
        if entry["id"] in draft.snapshot.keys:
            place = place_of(draft.tree, entry["id"])
            raise EditError(
                f"there is a key '{entry['id']}' already, at {place.file}:{place.line}: "
                "choose another id, or tollhouse keys rotate it"
            )
        api_key = keys.generate()
        name, path = home_of(draft.tree, team, project, file)
        written = {"id": entry["id"], "sha256": keys.sha256_hex(api_key)}
        draft.append(name, path, {**written, **entry})
        return _committed(draft, entry["id"], api_key=api_key)


def rotate(directory: Path, key_id: str, overlap: timedelta, now: datetime) -> Done:
    """A new key under the same id; the old one stays valid for `overlap`.

    Earlier keys whose time has passed are forgotten on the occasion.
    """
    with open_draft(directory) as draft:
        place = place_of(draft.tree, key_id)
        ends = moments.whole_second_after(now + overlap) if overlap else None
        _forget_expired(draft, place, now)
        if ends is not None:
            left = _valid_previous(draft.snapshot.keys[key_id], now)
            if len(left) >= MOST_PREVIOUS:
                raise EditError(_too_many(key_id, left))
            old = {"sha256": place.key.sha256, "valid_until": ends}
            draft.append(place.file, (*place.path, "previous"), old)
        api_key = keys.generate()
        draft.set(place.file, (*place.path, "sha256"), keys.sha256_hex(api_key))
        until = ends.timestamp() if ends else None
        return _committed(draft, key_id, api_key=api_key, previous_until=until)


def block(directory: Path, key_id: str, reason: str | None) -> Done:
    """Refuse every call of the key, the earlier ones that are still valid included."""
    with open_draft(directory) as draft:
        place = place_of(draft.tree, key_id)
        same_reason = reason is None or place.key.metadata.get(REASON) == reason
        if place.key.blocked and same_reason:
            return Done(draft.snapshot.keys[key_id], place, changed=False)
        if not place.key.blocked:
            draft.set(place.file, (*place.path, "blocked"), True)
        if reason is not None:
            draft.set(place.file, (*place.path, "metadata", REASON), reason)
        return _committed(draft, key_id)


def unblock(directory: Path, key_id: str) -> Done:
    """Take back `block`. A block of the team, project or org stays, and the snapshot says so."""
    with open_draft(directory) as draft:
        place = place_of(draft.tree, key_id)
        if not place.key.blocked:
            return Done(draft.snapshot.keys[key_id], place, changed=False)
        draft.remove(place.file, (*place.path, "blocked"))
        said = {REASON, BLOCKED_BY}.intersection(place.key.metadata)
        metadata = (*place.path, "metadata")
        alone = len(said) == len(place.key.metadata)
        for path in [metadata] if said and alone else [(*metadata, name) for name in said]:
            draft.remove(place.file, path)
        return _committed(draft, key_id)


def expire(directory: Path, key_id: str, at: date | None) -> Done:
    """Give the key an end, or (None) none."""
    with open_draft(directory) as draft:
        place = place_of(draft.tree, key_id)
        if place.key.expires == at:
            return Done(draft.snapshot.keys[key_id], place, changed=False)
        if at is None:
            draft.remove(place.file, (*place.path, "expires"))
        else:
            draft.set(place.file, (*place.path, "expires"), at)
        return _committed(draft, key_id)


def _committed(draft: Draft, key_id: str, **found: Any) -> Done:
    snapshot = draft.commit()
    return Done(snapshot.keys[key_id], place_of(draft.tree, key_id), **found)


def _forget_expired(draft: Draft, place: KeyPlace, now: datetime) -> None:
    key = draft.snapshot.keys[place.key.id]
    past = [
        index
        for index, old in enumerate(place.key.previous)
        if key.previous.get(old.sha256, 0.0) <= now.timestamp()
    ]
    if len(past) == len(place.key.previous):
        past = []
        if place.key.previous:
            draft.remove(place.file, (*place.path, "previous"))
    for index in reversed(past):
        draft.remove(place.file, (*place.path, "previous", index))


def _valid_previous(key: Key, now: datetime) -> list[float]:
    return sorted(until for until in key.previous.values() if until > now.timestamp())


def _too_many(key_id: str, ends: list[float]) -> str:
    return (
        f"{len(ends)} earlier keys of '{key_id}' are still valid, the first until"
        f" {moments.said(ends[0])}: wait for that, or end the present key at once with --overlap 0"
    )
