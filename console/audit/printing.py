"""Reports as tables for people, and as JSON or CSV for programs. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from tollhouse.money import nano_to_usd

Row = Sequence[Any]

_NANO: Final = "cost_nanousd"
_USD: Final = "cost_usd"
_JSON: Final = frozenset({"before", "after"})
# What a screen has no room for.
_NOT_IN_TABLES: Final = frozenset(
    {"env", "client_address", "request_id", "reason", "role", "via", "before", "after"}
    | {"policy_before", "policy_after"}
)
_LONGEST: Final = 60


def as_table(columns: Sequence[str], rows: Sequence[Row], shown: Sequence[str] = ()) -> str:
    """Aligned columns, numbers to the right. `shown`: which columns; else those that fit."""
    names = shown or [name for name in columns if name not in _NOT_IN_TABLES]
    places = [columns.index(name) for name in names]
    cells = [[_header(name) for name in names]]
    cells += [[_cell(columns[place], row[place]) for place in places] for row in rows]
    widths = [max(len(row[number]) for row in cells) for number in range(len(names))]
    is_right = [_is_number(columns[place], rows, place) for place in places]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_right, strict=True)
        ).rstrip()
        for row in cells
    )


def as_data(columns: Sequence[str], rows: Iterable[Row]) -> list[dict[str, Any]]:
    """JSON objects; money is a number of USD, exact to the nano-dollar."""
    return [
        {_header(name): _value(name, value) for name, value in zip(columns, row, strict=True)}
        for row in rows
    ]


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[str]:
    """Lines, the first of names; money is a decimal number of USD."""
    yield _csv_line([_header(name) for name in columns])
    for row in rows:
        yield _csv_line([_csv(name, value) for name, value in zip(columns, row, strict=True)])


def _header(name: str) -> str:
    return _USD if name == _NANO else name


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == _NANO:
        return nano_to_usd(value)
    text = f"{value:,}" if isinstance(value, int) and name != "seq" else str(value)
    # What a client wrote is data: it moves no cursor.
    text = "".join(each if each.isprintable() else "�" for each in text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _is_number(name: str, rows: Sequence[Row], place: int) -> bool:
    return name == _NANO or any(isinstance(row[place], int) for row in rows)


def _value(name: str, value: Any) -> Any:
    if name == _NANO:
        return float(nano_to_usd(value))
    if name in _JSON and value is not None:
        return json.loads(value)
    return value


def _csv(name: str, value: Any) -> str:
    if value is None:
        return ""
    text = nano_to_usd(value) if name == _NANO else str(value)
    # A spreadsheet would run what begins so, and clients choose their words.
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _csv_line(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
