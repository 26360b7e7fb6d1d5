"""The YAML lines that make a new key known, ready to paste under a project's `keys:`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from pydantic_core import PydanticCustomError

from tollhouse.policy import rules

# What YAML reads as something other than text goes in quotes: 123, 2027-01-01, no, null.
_PLAIN = re.compile(r"(?!(?:yes|no|on|off|true|false|null)\Z)[a-z].*", re.IGNORECASE)


class StanzaError(Exception):
    """The key's id, env or date cannot stand in a policy; the message says why."""


def key_stanza(key_id: str, sha256: str, env: str, expires: str | None) -> str:
    """Raises StanzaError, by the rules that the policy itself is read with."""
    lines = [
        f"- id: {_text(_ruled('id', rules.key_id, key_id))}",
        f"  sha256: {sha256}",
        f"  env: {_text(_ruled('env', rules.name, env))}",
    ]
    if expires is not None:
        lines.append(f"  expires: {_ruled('expires', rules.expiry, _date(expires))}")
    return "\n".join(lines) + "\n"


def _ruled(what: str, rule: Callable[[Any], Any], value: Any) -> Any:
    # Without the value: somebody may have typed a key where its id belongs.
    try:
        return rule(value)
    except PydanticCustomError as error:
        raise StanzaError(f"the key's {what} {error.message()}") from None


def _text(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise StanzaError(f"'{text}' is not a date: write YYYY-MM-DD") from None
