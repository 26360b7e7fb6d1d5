"""Keys: made, changed, rotated, blocked and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from console.actors import Actor
from console.edits import blocking, key_changes, key_listing, minting, rotation
from console.edits.data import etag, of_key
from console.edits.editor import Change, PolicyEditor
from console.edits.etags import require as require_etag
from console.edits.finding import find_key
from console.edits.laying import lay
from console.edits.policy import Policy
from console.edits.reader import PolicyReader
from console.edits.views import key_view
from console.shapes.base import Deleted
from console.shapes.keys import (
    KeyBlock,
    KeyCreate,
    KeyCreated,
    KeyList,
    KeyPatch,
    KeyQuery,
    KeyRotate,
    KeyView,
)
from tollhouse import keys as key_material
from tollhouse.policy.editing.draft import Draft


class Keys:
    """`ref` is a key's id, or the key itself. `if_match` is the header of that name.

    All raise ManageError. `clock` gives the present, with a time zone.
    """

    def __init__(
        self, reader: PolicyReader, editor: PolicyEditor, clock: Callable[[], datetime]
    ) -> None:
        self._reader = reader
        self._editor = editor
        self._clock = clock

    def create(self, actor: Actor, asked: KeyCreate) -> KeyCreated:
        """A new key, with its team and project where they are missing and the role may."""
        now, api_key = self._clock(), key_material.generate()
        sha256 = key_material.sha256_hex(api_key)
        edited = self._editor.edit(
            actor, lambda draft, policy: minting.mint(draft, policy, actor, asked, sha256, now)
        )
        view = key_view(edited.policy, edited.change.target, now.timestamp(), edited.warnings)
        return KeyCreated(**dict(view), api_key=api_key)

    def get(self, actor: Actor, ref: str) -> KeyView:
        """One key."""
        policy = self._reader.now()
        entry = find_key(policy, actor, "key.read", ref)
        return key_view(policy, entry.key.id, self._clock().timestamp())

    def list(self, actor: Actor, query: KeyQuery) -> KeyList:
        """One page of the keys that the actor sees."""
        return key_listing.page(self._reader.now(), actor, query, self._clock().timestamp())

    def patch(
        self, actor: Actor, ref: str, asked: KeyPatch, if_match: str | None = None
    ) -> KeyView:
        """Change what the request says."""
        now = self._clock()

        def edit(draft: Draft, policy: Policy) -> Change:
            entry = find_key(policy, actor, "key.write", ref)
            old = of_key(entry.key)
            require_etag(if_match, etag(old), "the key")
            new = key_changes.changed(policy, actor, entry, asked, now)
            lay(draft, entry.document.file, entry.path, old, new)
            return Change("key.change", entry.key.id, entry.team, old, new)

        return self._edited(actor, edit, now)

    def delete(self, actor: Actor, ref: str, if_match: str | None = None) -> Deleted:
        """Take a key out of the policy. Its usage stays on record."""

        def edit(draft: Draft, policy: Policy) -> Change:
            entry = find_key(policy, actor, "key.write", ref)
            old = of_key(entry.key)
            require_etag(if_match, etag(old), "the key")
            blocking.require_own_block(entry, actor)
            draft.remove(entry.document.file, entry.path)
            return Change("key.delete", entry.key.id, entry.team, before=old)

        edited = self._editor.edit(actor, edit)
        return Deleted(id=edited.change.target, warnings=edited.warnings)

    def rotate(
        self, actor: Actor, ref: str, asked: KeyRotate, if_match: str | None = None
    ) -> KeyCreated:
        """A new key under the same id; the old one stays valid for a while."""
        now, api_key = self._clock(), key_material.generate()
        sha256 = key_material.sha256_hex(api_key)

        def edit(draft: Draft, policy: Policy) -> Change:
            entry = find_key(policy, actor, "key.write", ref)
            require_etag(if_match, etag(of_key(entry.key)), "the key")
            return rotation.rotate(draft, policy, entry, asked.overlap, sha256, now)

        view = self._edited(actor, edit, now)
        return KeyCreated(**dict(view), api_key=api_key)

    def block(
        self, actor: Actor, ref: str, asked: KeyBlock, if_match: str | None = None
    ) -> KeyView:
        """Refuse every call of the key."""

        def edit(draft: Draft, policy: Policy) -> Change:
            entry = find_key(policy, actor, "key.write", ref)
            require_etag(if_match, etag(of_key(entry.key)), "the key")
            return blocking.block(draft, entry, actor, asked.reason)

        return self._edited(actor, edit, self._clock())

    def unblock(self, actor: Actor, ref: str, if_match: str | None = None) -> KeyView:
        """Take back `block`; a block of its team, project or environment stays."""

        def edit(draft: Draft, policy: Policy) -> Change:
            entry = find_key(policy, actor, "key.write", ref)
            require_etag(if_match, etag(of_key(entry.key)), "the key")
            return blocking.unblock(draft, entry, actor)

        return self._edited(actor, edit, self._clock())

    def _edited(
        self, actor: Actor, edit: Callable[[Draft, Policy], Change], now: datetime
    ) -> KeyView:
        edited = self._editor.edit(actor, edit)
        return key_view(edited.policy, edited.change.target, now.timestamp(), edited.warnings)
