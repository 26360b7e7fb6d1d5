"""One day of the history. Pure: what is stored is told at the head of scripts/prelude.lua."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_AMOUNTS = 6


@dataclass(slots=True)
class DailyUsage:
    """What one key did with one alias on one day (`YYYY-MM-DD` in the org's time zone).

    `requests` were admitted and have ended; `errors` of them failed at the provider; `cost` is
    nano-dollars, lost reservations that were charged included. `refusals` is by decision code, and
    not part of `requests`.
    """

    day: str
    team: str
    project: str
    key: str
    alias: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    cost: int = 0
    errors: int = 0
    refusals: dict[str, int] = field(default_factory=dict)


def daily_rows(day: str, team: str, stored: Mapping[bytes, bytes]) -> list[DailyUsage]:
    """What is stored of one day, in the order of names."""
    rows: dict[tuple[str, ...], DailyUsage] = {}
    for name, value in sorted(stored.items()):
        project, key, alias, *code = name.decode().split("|")
        row = rows.setdefault((project, key, alias), DailyUsage(day, team, project, key, alias))
        if code:
            row.refusals[code[0]] = int(value)
        else:
            _fill(row, [int(amount) for amount in value.split(b"|")])
    return list(rows.values())


def _fill(row: DailyUsage, amounts: list[int]) -> None:
    if len(amounts) != _AMOUNTS:
        raise ValueError("a row of the history does not have six amounts")
    row.requests, row.input_tokens, row.output_tokens = amounts[:3]
    row.cached_input_tokens, row.cost, row.errors = amounts[3:]
