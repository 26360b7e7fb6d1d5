"""LiteLLM's free metadata as the policy's."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tollhouse.importing.fields import is_control
from tollhouse.importing.notes import Notes, looks_like_key
from tollhouse.importing.values import Unique, mapping, name_of, text

_LONGEST = 200


def metadata_of(row: dict[str, Any], what: str, notes: Notes) -> dict[str, Any]:
    """Text, numbers and booleans of a key's metadata, and its user."""
    stated = {
        name: value
        for name, value in mapping(row.get("metadata")).items()
        if not is_control(name) and value is not None
    }
    if text(row.get("user_id")):
        stated.setdefault("user_id", row["user_id"])
    kept: dict[str, Any] = {}
    names = Unique()
    for name, value in stated.items():
        if looks_like_key(name) or not _is_plain(value):
            why = "metadata here is one line of text, a number, true or false, and never a key"
            notes.drop("keys and teams", f"metadata '{name}' of {what}", why)
        else:
            kept[names.take(name_of(name, "field"))] = (
                value.strip() if isinstance(value, str) else value
            )
    return kept


def _is_plain(value: object) -> bool:
    if not isinstance(value, str):
        return isinstance(value, bool | int | Decimal)
    line = value.strip()
    return 0 < len(line) <= _LONGEST and line.isprintable() and not looks_like_key(line)
