"""Values as an SRE would write them in YAML."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

WIDEST = 100
"""Columns of a line that a person would write."""
# What YAML reads as something other than text goes in quotes: 123, 2027-01-01, no, null.
_PLAIN = re.compile(
    r"(?!(?:yes|no|on|off|true|false|null|y|n)\Z)[a-z](?:[\w ./@-]*[\w./@-])?",
    re.IGNORECASE | re.ASCII,
)

# JSON's text is YAML's but for these: YAML takes them raw for line breaks, or not at all.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

# A hash is no number in any YAML, unless all of it could be one: digits, or 12e34.
_HASH = re.compile(r"(?=.*[a-df])[0-9a-f]{64}")


def flow(value: Any) -> str:
    """On one line: `{a: 1, b: [x, y]}`. Takes dict, list, str, bool, numbers, dates,
    None."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(name)}: {flow(each)}' for name, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return _scalar(value)


def block(value: Any, step: int = 2, list_offset: int = 2) -> list[str]:
    """Lines, the first at column 0. A collection that holds others is in block style.

    `step` and `list_offset` are the indents of mappings and of lists below their key.
    """
    if isinstance(value, dict) and value:
        entries = (entry(str(name), each, step, list_offset) for name, each in value.items())
        return [line for lines in entries for line in lines]
    if isinstance(value, list) and value:
        return [line for each in value for line in item(each, step, list_offset)]
    return [flow(value)]


def entry(name: str, value: Any, step: int = 2, list_offset: int = 2) -> list[str]:
    """The lines of one key of a block mapping and its value."""
    short = f"{flow(name)}: {flow(value)}"
    if not isinstance(value, dict | list) or (not _is_nested(value) and len(short) <= WIDEST):
        return [short]
    indent = list_offset if isinstance(value, list) else step
    lines = block(value, step, list_offset)
    return [f"{flow(name)}:", *(" " * indent + line for line in lines)]


def item(value: Any, step: int = 2, list_offset: int = 2) -> list[str]:
    """The lines of one item of a block list."""
    lines = block(value, step, list_offset)
    return [f"- {lines[0]}", *(f"  {line}" for line in lines[1:])]


def _is_nested(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else value
    return any(isinstance(each, dict | list) for each in values)


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}" if value % 1 else f"{int(value)}"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) or _HASH.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    json_text = json.dumps(text, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def _moment(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat(sep="T")
    return value.astimezone(UTC).isoformat(sep="T").replace("+00:00", "Z")
