"""Plain values of YAML and JSON, taken as what they are meant to be."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

_ENVIRONMENT = "os.environ/"
_WORD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


def number(value: object) -> Decimal | None:
    """A finite number, also where YAML or a database wrote it as text ("15e-8"); else None."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    try:
        found = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation:
        return None
    # Nothing that is counted here has an exponent near these; written out it would fill a disk.
    return found if found.is_finite() and abs(found.adjusted()) < 50 else None


def text(value: object) -> str:
    """A text without surrounding blanks; "" for anything else."""
    return value.strip() if isinstance(value, str) else ""


def mapping(value: object) -> dict[str, Any]:
    """A mapping with text keys; {} for anything else."""
    if not isinstance(value, dict):
        return {}
    return {str(key): item for key, item in value.items()}


def listing(value: object) -> list[Any]:
    """A list; a single text is a list of one; [] for anything else."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else []


def texts(value: object) -> list[str]:
    """The texts of a list that say something."""
    return [found for found in map(text, listing(value)) if found]


def flag(value: object) -> bool:
    """Whether a database's boolean is true, also where a dump wrote it as text or number."""
    return value is True or str(value).strip().lower() in ("t", "true", "yes", "1")


def with_text_keys(value: Any) -> Any:
    """The value with the keys of every mapping in it as text, as in JSON."""
    if isinstance(value, dict):
        return {str(key): with_text_keys(item) for key, item in value.items()}
    return [with_text_keys(item) for item in value] if isinstance(value, list) else value


def variable(value: object) -> str | None:
    """The environment variable that `os.environ/NAME` names; None for anything else."""
    stated = text(value)
    return stated.removeprefix(_ENVIRONMENT) if stated.startswith(_ENVIRONMENT) else None


def name_of(wanted: object, fallback: str) -> str:
    """`wanted` as a policy name: letters, digits, '.', '_', '-', beginning with one of the first
    two."""
    word = _WORD.sub("-", str(wanted)).strip("-._")[:_LONGEST_NAME]
    return word or fallback


class Unique:
    """Hands out names, each once. They differ in more than case, for they become file names."""

    def __init__(self, joint: str = "-") -> None:
        self._taken: set[str] = set()
        self._joint = joint

    def take(self, wanted: str) -> str:
        """`wanted`, or `wanted-2`, `wanted-3`, …"""
        name, count = wanted, 1
        while name.casefold() in self._taken:
            count += 1
            name = f"{wanted}{self._joint}{count}"
        self._taken.add(name.casefold())
        return name
