"""Throw-away certificates for the TLS tests."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Files:
    """PEM files of one certificate; `ca` is what verifies it."""

    ca: Path
    cert: Path
    key: Path


def issue(folder: Path, ca: trustme.CA, *names: str) -> Files:
    """A certificate for `names` in `folder`, each file renamed into place."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "ca.crt", folder / "tls.crt", folder / "tls.key")
    made = ca.issue_cert(*names)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    for path, content in (
        (files.ca, ca.cert_pem.bytes()),
        (files.key, made.private_key_pem.bytes()),
        (files.cert, chain),
    ):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)
    return files


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    """What a client verifies with."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context
