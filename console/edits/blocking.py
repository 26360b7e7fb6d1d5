"""A key blocked and unblocked. Who blocked it is kept beside the reason: a team-lead takes back
only their own block."""

from __future__ import annotations

from console.actors import Actor
from console.edits.data import Data, of_key
from console.edits.editor import Change
from console.edits.laying import lay
from console.edits.policy import KeyEntry
from console.problems import ManageError
from tollhouse.keyring.actions import BLOCKED_BY, REASON
from tollhouse.policy.editing.draft import Draft


def block(draft: Draft, entry: KeyEntry, actor: Actor, reason: str | None) -> Change:
    """Whoever blocks what is blocked takes the block over, so that the one before cannot take it
    back; a team-lead does not."""
    old = of_key(entry.key)
    if entry.key.blocked and not _may_take_back(entry, actor):
        return _change("key.block", entry, old, old)
    said = {} if reason is None else {REASON: reason}
    metadata = {**old.get("metadata", {}), **said, BLOCKED_BY: mark_of(actor)}
    new = {**old, "blocked": True, "metadata": metadata}
    lay(draft, entry.document.file, entry.path, old, new)
    return _change("key.block", entry, old, new)


def unblock(draft: Draft, entry: KeyEntry, actor: Actor) -> Change:
    """Raises ManageError `role_not_allowed` where somebody else has to."""
    old = of_key(entry.key)
    if not entry.key.blocked:
        return _change("key.unblock", entry, old, old)
    require_own_block(entry, actor)
    metadata = {
        name: value
        for name, value in old.get("metadata", {}).items()
        if name not in (REASON, BLOCKED_BY)
    }
    new = {name: value for name, value in old.items() if name not in ("blocked", "metadata")}
    new |= {"metadata": metadata} if metadata else {}
    lay(draft, entry.document.file, entry.path, old, new)
    return _change("key.unblock", entry, old, new)


def require_own_block(entry: KeyEntry, actor: Actor) -> None:
    """That no team-lead undoes the block of somebody else, if the key is blocked.

    Raises:
        ManageError: `role_not_allowed`.
    """
    if entry.key.blocked and not _may_take_back(entry, actor):
        message = (
            "somebody else blocked this key: a team-lead takes back only their own block, and"
            " deletes no key that others have blocked"
        )
        raise ManageError("role_not_allowed", message)


def mark_of(actor: Actor) -> str:
    """A token's id and a person's name may be the same word."""
    return f"{actor.via}:{actor.id}"


def _may_take_back(entry: KeyEntry, actor: Actor) -> bool:
    is_own = entry.key.metadata.get(BLOCKED_BY) == mark_of(actor)
    return actor.role != "team-lead" or is_own


def _change(action: str, entry: KeyEntry, old: Data, new: Data) -> Change:
    return Change(action, entry.key.id, entry.team, old, new)
