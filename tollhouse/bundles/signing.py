"""Ed25519 keys of bundles: made, read from PEM files, used."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from tollhouse.bundles.errors import KeyFileError

SIGNING_KEY, PUBLIC_KEY = "policy-signing.key", "policy-signing.pub"


class PublicKey:
    """Verifies. `id` is 12 hex digits of the SHA-256 of its 32 bytes, for people to compare."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.id = hashlib.sha256(raw).hexdigest()[:12]

    @classmethod
    def read(cls, path: Path) -> PublicKey:
        """From a PEM file. Raises KeyFileError."""
        try:
            key = load_pem_public_key(_content(path))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise KeyFileError(
                f"{path} is not an Ed25519 public key in PEM: give the {PUBLIC_KEY} that "
                "tollhouse policy keygen wrote"
            )
        return cls(key)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether the signature is this key's over exactly these bytes."""
        try:
            self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """Signs. `public` is what verifies it."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def new(cls) -> SigningKey:
        """A random one."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """From a PEM file without a passphrase. Raises KeyFileError."""
        try:
            key = load_pem_private_key(_content(path), password=None)
        except TypeError:
            raise KeyFileError(f"{path} has a passphrase: give a key file without one") from None
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise KeyFileError(
                f"{path} is not an Ed25519 private key in PEM: give the {SIGNING_KEY} that "
                "tollhouse policy keygen wrote"
            )
        return cls(key)

    def sign(self, content: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(content)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write both halves into `folder`, the private one for its owner alone; the two paths.

        Raises KeyFileError: they cannot be written, or are there already.
        """
        pem = Encoding.PEM
        private = self._key.private_bytes(pem, PrivateFormat.PKCS8, NoEncryption())
        public = self._key.public_key().public_bytes(pem, PublicFormat.SubjectPublicKeyInfo)
        paths = (folder / SIGNING_KEY, folder / PUBLIC_KEY)
        if there := [str(path) for path in paths if path.exists()]:
            raise KeyFileError(f"{' and '.join(there)} is there already: choose another directory")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(paths[0], private, 0o600)
            _create(paths[1], public, 0o644)
        except OSError as error:
            raise KeyFileError(f"{folder} cannot be written: {error.strerror}") from None
        return paths


def any_verifies(keys: Iterable[PublicKey], signature: bytes, signed: bytes) -> bool:
    """Whether one of the keys made this signature."""
    return any(key.verifies(signature, signed) for key in keys)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None


def _create(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
