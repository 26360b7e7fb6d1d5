"""Internal keys: how they are made, recognised, and reduced to what may be stored.

A generated key is `tlh_`, 32 random base62 characters (190 bits), and 6 base62 characters of the
CRC-32 of those 32. This is GitHub's token scheme (their post "Behind GitHub's new authentication
token formats", 2021): scanners find a leaked key by its prefix without false alarms, and a
mistyped key is told apart from an unknown one without a lookup.

Keys of any other form are accepted by lookup too: only the SHA-256 of a key is compared, so keys
imported from an earlier gateway keep working.

Management tokens are made the same way and begin with `tlm_`: neither is good for what the other
is for.
"""

import hashlib
import secrets
import string
import zlib

PREFIX = "tlh_"
MANAGEMENT_PREFIX = "tlm_"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_LENGTH = 32
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32, so that every CRC-32 fits


def generate(prefix: str = PREFIX) -> str:
    """A new key, or management token, from the system's random source."""
    return with_checksum("".join(secrets.choice(_ALPHABET) for _ in range(_BODY_LENGTH)), prefix)


def with_checksum(body: str, prefix: str = PREFIX) -> str:
    """The key whose 32 characters between prefix and checksum are `body`."""
    return f"{prefix}{body}{_checksum(body)}"


def looks_valid(key: str) -> bool:
    """Whether `key` has the form of a generated key and its checksum is right."""
    body = key[len(PREFIX) : len(PREFIX) + _BODY_LENGTH]
    return (
        len(body) == _BODY_LENGTH
        and all(character in _ALPHABET for character in body)
        and key == with_checksum(body)
    )


def sha256_hex(key: str) -> str:
    """The 64 lowercase hex digits under which a key is stored and looked up.

    No salt and no slow hash: a generated key has 190 random bits, which nobody can guess from a
    digest, and the lookup is on the path of every request.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
