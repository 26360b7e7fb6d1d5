"""The shapes in which LiteLLM hands out keys and teams, as rows of its two tables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tollhouse.importing.notes import Notes
from tollhouse.importing.values import listing, mapping, number, text

Row = dict[str, Any]

_FULL = (
    "ask LiteLLM for full objects: GET /key/list?return_full_object=true&size=100, every page, or"
    " a JSON dump of LiteLLM_VerificationToken"
)


class ExportError(Exception):
    """A key export that cannot be used; the message says what to export instead."""


@dataclass(slots=True)
class Export:
    """Rows as in LiteLLM_VerificationToken and LiteLLM_TeamTable."""

    keys: list[Row] = field(default_factory=list)
    teams: list[Row] = field(default_factory=list)


def rows_of(documents: list[Any], notes: Notes) -> Export:
    """The rows of several exports together.

    Takes /key/list and /team/list answers, /key/info and /team/info answers, arrays of either, and
    objects with `keys` and `teams`.

    Raises:
        ExportError: there is something that is neither a key nor a team, or only names of keys.
    """
    export = Export()
    for document in documents:
        _add(document, export)
    total = max((_total(document) for document in documents), default=0)
    if total > len(export.keys):
        why = f"the export says that there are {total} keys and holds {len(export.keys)}"
        instead = "give every page with its own --keys"
        notes.drop("keys and teams", "keys on further pages", why, instead)
    return export


def _total(document: Any) -> int:
    page = mapping(document)
    return int(number(page.get("total_count")) or 0) if "keys" in page else 0


def _add(document: Any, export: Export) -> None:
    if isinstance(document, list):
        for row in document:
            _add_row(row, export)
        return
    whole = mapping(document)
    inner = [name for name in ("keys", "teams", "team_info") if name in whole]
    if not inner or ("team_id" in whole and "team_info" not in whole):
        _add_row(document, export)
    for name in inner:
        rows = [whole[name]] if name == "team_info" else listing(whole[name])
        for row in rows:
            _add_row(row, export)


def _add_row(value: Any, export: Export) -> None:
    row = mapping(value)
    if isinstance(value, str):
        raise ExportError(f"the export lists keys without saying what they may do: {_FULL}")
    if "info" in row:
        info = mapping(row["info"])
        row = {**info, "token": info.get("token") or row.get("key")}
    elif "token" not in row and text(row.get("key")):
        row = {**row, "token": row["key"]}
    row = {name: _parsed(item) for name, item in row.items()}
    if not row.keys().isdisjoint(("token", "key_name", "key_alias")):
        export.keys.append(row)
    elif text(row.get("team_id")):
        export.teams.append(row)
    else:
        raise ExportError(f"an entry of the export is neither a key nor a team: {_FULL}")


def _parsed(value: Any) -> Any:
    """A column as its value: some dumps write JSON and arrays of Postgres as text."""
    stated = text(value)
    if not stated.startswith(("{", "[")):
        return value
    try:
        return json.loads(stated, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError):
        inside = stated.strip("{}")
        return [item.strip().strip('"') for item in inside.split(",")] if inside else []
