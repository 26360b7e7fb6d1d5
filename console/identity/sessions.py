"""A browser's session after signing in by token: a sealed cookie, which no script can read.

It holds the token's SHA-256, not the token, and is good while that is in the policy. The key that
seals it is kept, so that a restart signs nobody out and replicas can share it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

COOKIE = "tollhouse_session"
SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Sessions:
    """Seals and opens. `now` is seconds since the epoch."""

    fernet: Fernet

    @classmethod
    def kept_in(cls, path: Path) -> Sessions:
        """With the key in this file, which is made if it is not there. Raises OSError."""
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = Fernet.generate_key()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(key)
        return cls(Fernet(key))

    def seal(self, sha256: str, now: float) -> str:
        """The cookie's value."""
        return self.fernet.encrypt_at_time(
            json.dumps({"sha256": sha256}).encode(), int(now)
        ).decode()

    def open(self, cookie: str, now: float) -> str | None:
        """The SHA-256 of the token; None: it is not ours, or too old."""
        try:
            text = self.fernet.decrypt_at_time(cookie.encode(), SECONDS, int(now))
            found = json.loads(text)
        except (InvalidToken, ValueError):
            return None
        # The same key seals other things, too.
        return str(found["sha256"]) if "sha256" in found else None
