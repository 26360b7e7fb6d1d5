"""The history of usage: per day, team, project, key and alias, for reports.

It is written by the scripts that settle, in the same step, so the costs of a day sum up to what
the team's budget counted on it. Refusals are counted as they are seen: they are not exactly-once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

from ratelimit_service.ledger.keys import slot_keys
from ratelimit_service.ledger.store import STORE_ERRORS, StoreClient, translated
from ratelimit_service.ledger.types import Slot

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


async def usage(
    redis: StoreClient, team: str, days: Iterable[str], *, prefix: str = "th:"
) -> list[DailyUsage]:
    """The history of a team on `days`, each `YYYY-MM-DD`, in the order of days and names.

    Raises LedgerUnavailable.
    """
    keys = slot_keys(prefix, Slot("team", team))
    rows: list[DailyUsage] = []
    try:
        for day in days:
            stored = await redis.hgetall(keys.counters("usage", day))
            rows += _rows(day, team, cast("Mapping[bytes, bytes]", stored))
    except STORE_ERRORS as error:
        raise translated(error) from error
    return rows


def _rows(day: str, team: str, stored: Mapping[bytes, bytes]) -> list[DailyUsage]:
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
