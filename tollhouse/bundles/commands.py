"""What the `tollhouse policy` commands do, and what they say of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tollhouse.bundles import snapshots
from tollhouse.bundles.errors import BundleError, BundleRefused, PublishConflict
from tollhouse.bundles.publisher import Publisher
from tollhouse.bundles.sealed import Bundle, Header, peek, unseal
from tollhouse.bundles.signing import PublicKey, SigningKey
from tollhouse.bundles.store import KEPT, BundleStore
from tollhouse.policy.compiler import load_snapshot

_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """How to publish; `if_serial` is the bundle that must be in force (0: none)."""

    redis_url: str
    signing_key: Path
    by: str
    if_serial: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A publication, or with `serial` 0 what a dry run found. `replaced` 0 is none."""

    version: str
    serial: int
    replaced: int
    replaced_version: str | None
    bytes: int
    copy_of: int | None = None

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def sentence(self) -> str:
        """One line for people."""
        what = f"policy {self.version}"
        if not self.serial:
            return f"dry run, nothing was published: {what} would replace {self._replaced()}"
        copy = f" (a copy of {self.copy_of})" if self.copy_of else ""
        return (
            f"{what} is published as bundle {self.serial}{copy}, {self.bytes:,} bytes. "
            f"It replaces {self._replaced()}."
        )

    def _replaced(self) -> str:
        if not self.replaced:
            return "nothing, for no bundle was in force"
        return f"bundle {self.replaced} (policy {self.replaced_version or 'unknown'})"


@dataclass(frozen=True, slots=True)
class Listing:
    """The last bundles, newest first; None for one that cannot be read."""

    current: int
    headers: dict[int, Header | None]

    def as_json(self) -> str:
        found = [asdict(header) for header in self.headers.values() if header]
        return json.dumps({"current": self.current, "bundles": found}, indent=2)

    def lines(self) -> Iterator[str]:
        """One for each, after a heading."""
        if not self.headers:
            yield "no bundle was published yet"
            return
        yield f"  {'serial':<14} {'policy':<13} {'published (UTC)':<20} {'key':<13} by"
        for serial, header in self.headers.items():
            mark = "*" if serial == self.current else " "
            yield f"{mark} {serial:<14} {_row(header)}"
        yield "* in force"


def publish(order: Order, policies: Path, *, dry_run: bool) -> Outcome:
    """Raises PolicyError for the tree; BundleError, ValueError for the rest."""
    snapshot = load_snapshot(policies)
    key = SigningKey.read(order.signing_key)
    with _store(order.redis_url) as store:
        headers = _headers(store)
        if dry_run:
            current = store.serial()
            if order.if_serial not in (None, current):
                raise PublishConflict(current, order.if_serial or 0)
            return Outcome(snapshot.version, 0, current, _version(headers, current), 0)
        publisher = Publisher(store, key, _line(order.by))
        done = publisher.publish(snapshot, replacing=order.if_serial)
        # Another may have published in between.
        headers = _headers(store) if done.replaced not in headers else headers
    replaced = _version(headers, done.replaced)
    return Outcome(snapshot.version, done.header.serial, done.replaced, replaced, done.size_bytes)


def rollback(order: Order, serial: int, public_keys: Iterable[Path]) -> Outcome:
    """Raises BundleError, ValueError."""
    key = SigningKey.read(order.signing_key)
    # Verified first: to sign whatever lies in Redis would make good what somebody put there.
    keys = [key.public, *map(PublicKey.read, public_keys)]
    with _store(order.redis_url) as store:
        old = _bundle(store, serial, keys)
        publisher = Publisher(store, key, _line(order.by))
        done = publisher.publish(old.snapshot, replacing=order.if_serial, copy_of=serial)
        replaced = _version(_headers(store), done.replaced)
    sizes = (done.size_bytes, serial)
    return Outcome(old.snapshot.version, done.header.serial, done.replaced, replaced, *sizes)


def listing(redis_url: str) -> Listing:
    """Raises StoreUnavailable, ValueError."""
    with _store(redis_url) as store:
        return Listing(store.serial(), _headers(store))


def fetch(redis_url: str, serial: int, public_keys: Iterable[Path]) -> Bundle:
    """Raises BundleError, ValueError."""
    keys = [PublicKey.read(path) for path in public_keys]
    with _store(redis_url) as store:
        return _bundle(store, serial, keys)


def policy_json(bundle: Bundle) -> str:
    """The compiled policy."""
    content: dict[str, Any] = json.loads(snapshots.encode(bundle.snapshot))
    return json.dumps(content, indent=2)


def description(bundle: Bundle) -> str:
    """Some lines for people."""
    header, policy = bundle.header, bundle.snapshot
    copy = f", a copy of {header.copy_of}" if header.copy_of else ""
    return (
        f"bundle {header.serial}{copy}, {len(bundle.sealed):,} bytes, signed by key {header.key}\n"
        f"published {header.created_at} by {_line(header.by) or 'unnamed'}\n"
        f"policy {header.version}: {len(policy.teams)} teams, {len(policy.keys)} keys, "
        f"{len(policy.aliases)} models, {len(policy.providers)} providers"
    )


@contextmanager
def _store(url: str) -> Iterator[BundleStore]:
    with closing(BundleStore(url, timeout_seconds=_TIMEOUT_SECONDS)) as store:
        yield store


def _bundle(store: BundleStore, serial: int, keys: list[PublicKey]) -> Bundle:
    sealed = store.kept().get(serial)
    if sealed is None:
        raise BundleError(
            f"Redis has no bundle {serial}: it keeps the last {KEPT} (tollhouse policy list)"
        )
    try:
        bundle = unseal(sealed, keys)
    except BundleRefused as error:
        raise BundleRefused(f"bundle {serial} cannot be used: {error}") from None
    if bundle.serial != serial:
        raise BundleRefused(f"what Redis has as bundle {serial} is bundle {bundle.serial}")
    return bundle


def _headers(store: BundleStore) -> dict[int, Header | None]:
    return {serial: _peek(sealed) for serial, sealed in store.kept().items()}


def _peek(sealed: bytes) -> Header | None:
    try:
        return peek(sealed)
    except BundleRefused:
        return None


def _version(headers: dict[int, Header | None], serial: int) -> str | None:
    header = headers.get(serial)
    return header.version if header else None


def _row(header: Header | None) -> str:
    if header is None:
        return "cannot be read by this tollhouse"
    when = header.created_at.removesuffix("+00:00")
    copy = f" (a copy of {header.copy_of})" if header.copy_of else ""
    return _line(f"{header.version:<13} {when:<20} {header.key:<13} {header.by}{copy}")


def _line(text: str) -> str:
    """Without what would steer a terminal: a header may be anybody's."""
    return "".join(each if each.isprintable() else "?" for each in text).rstrip()
