"""The form of a bundle: a numbered, signed, compressed snapshot.

    tollhouse-policy-bundle 1          the form's number
    <signature, base64>                Ed25519, over all other bytes of the bundle, in order
    {"serial": 17, "version": …}       the header, JSON on one line
    <zlib>                             the snapshot, JSON

Nothing is parsed further than these three lines before the signature is good.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from tollhouse.bundles import snapshots
from tollhouse.bundles.errors import BundleRefused
from tollhouse.bundles.signing import PublicKey, SigningKey, any_verifies
from tollhouse.policy.compiled import Snapshot

FORMAT = 1
"""Raised when the compiled policy or the header takes another shape. Older ones stay readable."""

_MAGIC = b"tollhouse-policy-bundle "


@checked_dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class Header:
    """What is said of a bundle.

    `serial` grows with every publication. `version` is the snapshot's. `created_at` is ISO 8601,
    UTC, by the publisher's clock. `by` is whatever the publisher called itself. `key` is the `id`
    of the public key that verifies it. `copy_of` is the serial that a rollback published again.
    """

    serial: int
    version: str
    created_at: str
    by: str
    key: str
    copy_of: int | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose signature is good. `sealed` are its exact bytes."""

    header: Header
    snapshot: Snapshot
    sealed: bytes

    @property
    def serial(self) -> int:
        return self.header.serial


_HEADER = TypeAdapter(Header)


def seal(header: Header, snapshot: Snapshot, key: SigningKey) -> bytes:
    """The bytes of a bundle."""
    first = _MAGIC + str(FORMAT).encode()
    body = zlib.compress(snapshots.encode(snapshot), 9)
    rest = _HEADER.dump_json(header) + b"\n" + body
    signature = base64.b64encode(key.sign(first + b"\n" + rest))
    return b"\n".join((first, signature, rest))


def unseal(sealed: bytes, keys: Sequence[PublicKey]) -> Bundle:
    """Raises BundleRefused unless it is whole, of a known form, and signed by one of `keys`."""
    first, signature, rest = _split(sealed)
    header = _header(rest)
    if not any_verifies(keys, signature, first + b"\n" + rest):
        raise BundleRefused(_wrong_signature(header, keys))
    try:
        snapshot = snapshots.decode(zlib.decompress(rest.partition(b"\n")[2]))
    except (ValueError, zlib.error) as error:
        raise BundleRefused(
            f"it was written by a tollhouse that this one does not understand ({error}): "
            "upgrade this one, or publish with its version"
        ) from None
    return Bundle(header, snapshot, sealed)


def peek(sealed: bytes) -> Header:
    """What a bundle says of itself, its signature unseen. Raises BundleRefused if not a bundle."""
    return _header(_split(sealed)[2])


def _split(sealed: bytes) -> tuple[bytes, bytes, bytes]:
    """The first line, the signature, and what follows it."""
    lines = sealed.split(b"\n", 2)
    number = lines[0].removeprefix(_MAGIC)
    if len(lines) != 3 or number == lines[0] or not number.isdigit():
        raise BundleRefused("it is not a policy bundle, or was cut short")
    if int(number) > FORMAT:
        raise BundleRefused(
            f"it has form {int(number)}, and this tollhouse reads up to {FORMAT}: upgrade this one"
        )
    return lines[0], _signature(lines[1]), lines[2]


def _signature(line: bytes) -> bytes:
    try:
        signature = base64.b64decode(line, validate=True)
    except binascii.Error:
        signature = b""
    # Base64 has more than one spelling of the same bytes.
    if base64.b64encode(signature) != line or not signature:
        raise BundleRefused("its signature cannot be read")
    return signature


def _header(rest: bytes) -> Header:
    try:
        return _HEADER.validate_json(rest.partition(b"\n")[0])
    except ValidationError:
        raise BundleRefused("its header cannot be read") from None


def _wrong_signature(header: Header, keys: Sequence[PublicKey]) -> str:
    known = ", ".join(key.id for key in keys)
    if header.key in {key.id for key in keys}:
        return f"its bytes are not those that key {header.key} signed: publish it again"
    # What it says of itself is not to be repeated to a log as it is.
    said = header.key if header.key.isalnum() and len(header.key) <= 16 else "unknown"
    return f"it is signed by key {said}, and the public keys given here are {known}"
