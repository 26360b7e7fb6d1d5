"""Key files: written once, for their owner; read with a word about what is wrong."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tollhouse.bundles.errors import KeyFileError
from tollhouse.bundles.signing import PublicKey, SigningKey


def test_a_pair_that_was_written_signs_and_verifies_when_read_again(tmp_path: Path) -> None:
    private, public = SigningKey.new().write(tmp_path / "new")
    signature = SigningKey.read(private).sign(b"these bytes")
    assert PublicKey.read(public).verifies(signature, b"these bytes")
    assert not PublicKey.read(public).verifies(signature, b"those bytes")
    assert PublicKey.read(public).id == SigningKey.read(private).public.id


def test_the_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    private, _ = SigningKey.new().write(tmp_path / "new")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700


def test_a_key_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    private, public = SigningKey.new().write(tmp_path)
    before = private.read_bytes()
    public.unlink()
    with pytest.raises(KeyFileError, match="is there already: choose another directory"):
        SigningKey.new().write(tmp_path)
    assert private.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="file/keys cannot be written: Not a directory"):
        SigningKey.new().write(tmp_path / "file" / "keys")


def test_each_half_is_refused_in_the_place_of_the_other(tmp_path: Path) -> None:
    private, public = SigningKey.new().write(tmp_path)
    with pytest.raises(KeyFileError, match="is not an Ed25519 public key in PEM"):
        PublicKey.read(private)
    with pytest.raises(KeyFileError, match="is not an Ed25519 private key in PEM"):
        SigningKey.read(public)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    other = X25519PrivateKey.generate()
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyFileError, match="is not an Ed25519 private key in PEM"):
        SigningKey.read(path)


def test_a_key_with_a_passphrase_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path, locked = tmp_path / "key.pem", BestAvailableEncryption(b"pass")
    own = Ed25519PrivateKey.generate()
    path.write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    with pytest.raises(KeyFileError, match="has a passphrase: give a key file without one"):
        SigningKey.read(path)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="nowhere cannot be read: No such file"):
        PublicKey.read(tmp_path / "nowhere")
