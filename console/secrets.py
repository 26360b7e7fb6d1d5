"""Reads the secrets that the console itself uses, at each use, so that a rotation needs no restart.

No message holds a secret: it says where one should be.
"""

from __future__ import annotations

import os
from pathlib import Path

from tollhouse.policy.secret import Secret


class SecretMissing(Exception):
    """There is no secret where the policy says that it is."""


def read_secret(secret: Secret) -> str:
    """The secret, without white space around it. Raises SecretMissing."""
    if secret.kind == "env":
        where = f"the environment variable {secret.location} is not set"
        found = os.environ.get(secret.location, "")
    else:
        where = f"the file {secret.location} cannot be read, or is empty"
        found = _content(Path(secret.location))
    if not found.strip():
        raise SecretMissing(where)
    return found.strip()


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
