"""How reservations ended, read from what is stored (scripts/endings.lua)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Stored = Mapping[str, Mapping[str, str]]
"""Keys with their fields."""
Known = tuple[int, str]
"""What an id is known by: its half minute, and its digits after the milliseconds."""

_HALF_MINUTE_MS = 30_000
_LONGEST = 64
_PLACE_0 = ord("0")


def known(reservation_id: str) -> Known:
    """What an id is known by."""
    return int(reservation_id[:12], 16) // _HALF_MINUTE_MS, reservation_id[12:]


def endings(stored: Stored, stem: str) -> dict[Known, str]:
    """The letter of each reservation that has ended in a slot."""
    return {
        (half_minute, f"{group[:-1]}{int(group[-1]) * _LONGEST + place:02x}"): letter
        for half_minute, fields in _half_minutes(stored, stem)
        for group, text in fields.items()
        if not _is_id(group)
        for place, letter in _letters(text)
        if letter != "."
    }


def charged_when_lost(stored: Stored, stem: str) -> dict[str, tuple[int, int]]:
    """The tokens and nano-dollars of each whose lease ended and that nothing corrected, by id."""
    return {
        id_: (int(record.split("|")[0]), int(record.split("|")[1]))
        for _, fields in _half_minutes(stored, stem)
        for id_, record in fields.items()
        if _is_id(id_)
    }


def _half_minutes(stored: Stored, stem: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    beginning = f"{stem}done:"
    for name, fields in stored.items():
        if name.startswith(beginning):
            yield int(name.removeprefix(beginning)), fields


def _is_id(field: str) -> bool:
    return len(field) == len("01a2245641a37bc8849a360b7de15e25")


def _letters(text: str) -> Iterator[tuple[int, str]]:
    assert len(text) <= _LONGEST
    first = ord(text[0]) - _PLACE_0
    return enumerate(text[1:], first) if 0 < first < _LONGEST else enumerate(text)
