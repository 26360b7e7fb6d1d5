"""The YAML lines that make a new key known, ready to paste under a project's `keys:`."""

from __future__ import annotations

import re
from datetime import date

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class StanzaError(Exception):
    """The key's id or date cannot stand in a policy; the message says why."""


def key_stanza(key_id: str, sha256: str, env: str, expires: str | None) -> str:
    """Raises StanzaError."""
    for what, name in (("id", key_id), ("env", env)):
        if NAME.fullmatch(name) is None:
            raise StanzaError(f"'{name}' cannot be a key's {what}: letters, digits, . _ - only")
    lines = [f"- id: {key_id}", f"  sha256: {sha256}", f"  env: {env}"]
    if expires is not None:
        lines.append(f"  expires: {_date(expires)}")
    return "\n".join(lines) + "\n"


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise StanzaError(f"'{text}' is not a date: write YYYY-MM-DD") from None
