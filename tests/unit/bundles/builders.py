"""Policies, keys and bundles for the tests of bundles."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from pathlib import Path

from tests.support.policy import write_tree
from tollhouse.bundles.cache import BundleCache
from tollhouse.bundles.publisher import Published, Publisher
from tollhouse.bundles.sealed import Header, seal
from tollhouse.bundles.signing import PublicKey, SigningKey
from tollhouse.bundles.source import READ_SECONDS, PolicyBundles
from tollhouse.bundles.store import BundleStore
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

KEY, OTHER_KEY = SigningKey.new(), SigningKey.new()
PATIENT_SECONDS = 10.0


def policy(folder: Path, org: str = "acme") -> Snapshot:
    """The smallest policy, of an org of this name."""
    return load_snapshot(write_tree(folder / f"tree-{org}", org=f"org: {org}\n"))


def header(serial: int, key: SigningKey = KEY) -> Header:
    return Header(serial, "0" * 12, "2026-11-28T05:00:00+00:00", "ops", key.public.id)


def sealed(snapshot: Snapshot, serial: int = 17, key: SigningKey = KEY) -> bytes:
    return seal(header(serial, key), snapshot, key)


def store(url: str, seconds: float = PATIENT_SECONDS) -> AbstractContextManager[BundleStore]:
    return closing(BundleStore(url, timeout_seconds=seconds))


class Site:
    """One Redis, its publisher, and the files of a replica."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.cache = folder / "replica" / "bundle"
        self.store = BundleStore(url, timeout_seconds=PATIENT_SECONDS)
        self._opened = [self.store]

    def publish(self, org: str, key: SigningKey = KEY) -> Published:
        return Publisher(self.store, key, "ops").publish(policy(self.folder, org))

    def plant(self, content: bytes, serial: int) -> None:
        """Put bytes in force as somebody would who can write to Redis and cannot sign."""
        self.store.put(serial, content)

    def replica(self, *keys: SigningKey) -> PolicyBundles:
        """As a service that has just been started sees it."""
        return self._replica([key.public for key in keys or (KEY,)])

    def replica_of(self, public: Path) -> PolicyBundles:
        """The same, with the key of a file."""
        return self._replica([PublicKey.read(public)])

    def _replica(self, keys: list[PublicKey]) -> PolicyBundles:
        reading = BundleStore(self.url, timeout_seconds=READ_SECONDS)
        self._opened.append(reading)
        return PolicyBundles(reading, BundleCache(self.cache), keys)

    def close(self) -> None:
        for each in self._opened:
            each.close()
