"""Publishes policies: numbers, signs and puts them in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tollhouse.bundles.errors import BundleError, PublishConflict
from tollhouse.bundles.sealed import Header, seal
from tollhouse.bundles.signing import SigningKey
from tollhouse.bundles.store import BundleStore
from tollhouse.policy.compiled import Snapshot

_ATTEMPTS = 100


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Published:
    """What is in force now, and the serial of what it replaced; 0 for none."""

    header: Header
    size_bytes: int
    replaced: int


@dataclass(frozen=True, slots=True)
class Publisher:
    """`by` is free text, shown to whoever asks who it was."""

    store: BundleStore
    key: SigningKey
    by: str
    clock: Callable[[], datetime] = _now

    def publish(
        self, snapshot: Snapshot, *, replacing: int | None = None, copy_of: int | None = None
    ) -> Published:
        """Put a policy in force, under a serial higher than any before.

        `replacing`: only if that serial is in force (0: none). Raises PublishConflict,
        StoreUnavailable.
        """
        for _ in range(_ATTEMPTS):
            header = self._header(snapshot, copy_of)
            sealed = seal(header, snapshot, self.key)
            try:
                replaced = self.store.put(header.serial, sealed, replacing=replacing)
            except PublishConflict:
                if replacing is not None:
                    raise
                continue  # another one was quicker with a higher serial: the last one wins
            return Published(header, len(sealed), replaced)
        raise BundleError("others publish all the time: nothing was published. Try again.")

    def _header(self, snapshot: Snapshot, copy_of: int | None) -> Header:
        return Header(
            serial=self.store.mint(),
            version=snapshot.version,
            created_at=self.clock().isoformat(timespec="seconds"),
            by=self.by,
            key=self.key.public.id,
            copy_of=copy_of,
        )
