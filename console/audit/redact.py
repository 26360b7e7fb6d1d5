"""What the audit log hides of what it records. Pure.

A secret becomes `hidden#1`, the next other one `hidden#2`: within one record the same number is the
same value, so `before` and `after` show whether it changed, and nothing can be guessed from it. Of
a SHA-256 four of its 64 hex digits stay, to find it in the policy: `sha256:3b77…#1`.

Hidden is what looks like a key, a token, a password in a URL or a SHA-256, wherever it is, and all
that is under a name such as `api_key`, `secret` or `webhook`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

# Names are compared by their words: `client-secret`, `clientSecret` and `CLIENT_SECRET` are one.
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+")
# Anywhere in a name: `webhook_url`, `client_secret_file`.
_SECRET_WORDS: Final = frozenset(
    {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "webhook", "webhooks"}
    | {"sha256", "cookie", "cookies", "authorization"}
)
# At its end: `api_key`, `id_token`; but not `key_id`, `token_endpoint`, `max_tokens`.
_SECRET_ENDS: Final = frozenset(
    {"key", "apikey", "token", "hash", "credential", "credentials", "jwt"}
)
# Texts in these are secrets; objects in them have names of their own, and counts are no secrets.
_LISTS: Final = frozenset({"tokens", "api_keys", "apikeys"})

_SHA256: Final = r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{64}(?![0-9A-Fa-f])"
_LOOKS_SECRET: Final = re.compile(
    "|".join(
        (
            rf"(?P<sha256>{_SHA256})",
            # Keys of this gateway, management tokens, providers' keys.
            r"(?<![A-Za-z0-9])(?:tl[hm]_|sk-)[A-Za-z0-9_-]*",
            # A JWT: the base64 of {" begins with eyJ.
            r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*",
            r"(?<=://)[^/@\s]+(?=@)",
            # Whoever knows the path of such a webhook may post to it.
            r"(?<=://)hooks\.[^\s\"']+",
            r"(?<=[Bb]earer )\S+",
        )
    )
)


class Redaction:
    """One record's: what is hidden in it is numbered in the order in which it is met."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def value(self, value: Any) -> Any:
        """A JSON value without its secrets; the one that is given stays as it is."""
        if isinstance(value, Mapping):
            return {
                self.text(str(name)): self._member(str(name), one) for name, one in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        if value is None or isinstance(value, bool | int) or _is_number(value):
            return value
        return self.text(str(value))

    def text(self, text: str) -> str:
        """A text without what looks like a secret."""
        return _LOOKS_SECRET.sub(lambda found: self._mark(found[0]), text)

    def _member(self, name: str, value: Any) -> Any:
        if _is_secret(name):
            return self._hidden(value)
        if name.lower() in _LISTS:
            return self._listed(value)
        return self.value(value)

    def _listed(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._listed(one) for one in value]
        return self._mark(value) if isinstance(value, str) else self.value(value)

    def _hidden(self, value: Any) -> Any:
        """Whether there is something stays to be seen, and how many."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._hidden(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self._hidden(one) for one in value]
        return self._mark(str(value))

    def _mark(self, secret: str) -> str:
        number = self._numbers.setdefault(secret, len(self._numbers) + 1)
        shown = f"sha256:{secret[:4]}…" if re.fullmatch(_SHA256, secret) else "hidden"
        return f"{shown}#{number}"


def _is_number(value: Any) -> bool:
    # JSON has no word for the others.
    return isinstance(value, float) and math.isfinite(value)


def _is_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words:
        return False
    return not _SECRET_WORDS.isdisjoint(words) or words[-1] in _SECRET_ENDS
