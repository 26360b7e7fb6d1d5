"""Claims, settlements and a clock for the ledger's tests."""

from collections.abc import Iterable
from datetime import UTC, datetime

from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.types import (
    NO_LIMITS,
    Claim,
    OnLost,
    ScopeClaim,
    Settlement,
    Slot,
    SlotClaim,
    TakenUsage,
    UsageRow,
)
from tollhouse.policy.compiled import Limits

# Seconds. Far above what a call takes, so that a busy machine fails no test but those of deadlines.
PATIENT = 20.0

TEAM = Slot("team", "marketing")
ORG = Slot("org", "acme")
ALIAS = Slot("alias", "openai/gpt4_limited@v1")

ROW = UsageRow("website", "web-1", "gpt4_limited", 400)

SCOPES = {
    "key": (TEAM, "key:web-1"),
    "project": (TEAM, "project:website"),
    "team": (TEAM, "team"),
    "org": (ORG, "org"),
    "alias": (ALIAS, "alias"),
}
"""The slot and scope of each level, in the order of a claim."""
COUNTED = {
    "team": (TEAM, "team@gpt4_limited"),
    "org": (ORG, "org#prod"),
    "alias": (ALIAS, "alias"),
}
"""Scopes in which a claim may count without reserving: beside others, or alone in their slot."""


class FakeClock:
    """A clock that stands still until it is told otherwise. Microseconds since 1970."""

    def __init__(self, start: str = "2026-11-24T12:00:00+00:00") -> None:
        self.micros = micros_at(start)

    def __call__(self) -> int:
        return self.micros

    def advance(self, seconds: float) -> None:
        self.micros += round(seconds * 1_000_000)

    def set(self, moment: str) -> None:
        self.micros = micros_at(moment)

    @property
    def millis(self) -> int:
        return self.micros // 1000

    @property
    def second(self) -> int:
        return self.micros // 1_000_000


def micros_at(moment: str) -> int:
    """Microseconds since 1970 of an ISO 8601 moment."""
    return round(datetime.fromisoformat(moment).astimezone(UTC).timestamp() * 1_000_000)


def claim(
    limits: dict[str, Limits] | None = None,
    *,
    levels: Iterable[str] = SCOPES,
    counted: Iterable[str] = (),
    id_ms: int | None = None,
    tokens: int = 0,
    cost: int = 0,
    expected_cost: int | None = None,
    request_id: str = "",
    lease_seconds: int = 600,
    on_lost: OnLost = "charge",
    time_zone: str = "UTC",
) -> Claim:
    """A claim on `levels`, unlimited but for those in `limits`, by level. Beside them it is
    `counted` in some of COUNTED."""
    parts: dict[Slot, list[ScopeClaim]] = {}
    beside: dict[Slot, list[str]] = {}
    for level in levels:
        slot, scope = SCOPES[level]
        given = (limits or {}).get(level, NO_LIMITS)
        parts.setdefault(slot, []).append(ScopeClaim(scope, given))
    for name in counted:
        slot, scope = COUNTED[name]
        beside.setdefault(slot, []).append(scope)
    return Claim(
        new_reservation_id(id_ms),
        tuple(
            SlotClaim(slot, tuple(parts.get(slot, ())), tuple(beside.get(slot, ())))
            for slot in dict.fromkeys([*parts, *beside])
        ),
        tokens,
        cost,
        lease_seconds,
        on_lost,
        time_zone,
        expected_cost,
        request_id,
        ROW,
    )


def limit(
    requests: int | None = None, tokens: int | None = None, spend: int | None = None
) -> Limits:
    """Limits for `claim`: of the minute, and of the month's spend."""
    return Limits(
        requests_per_minute=requests, tokens_per_minute=tokens, monthly_spend_nanousd=spend
    )


def settlement(
    of: Claim, *, tokens: int = 0, cost: int = 0, usage: TakenUsage | None = None
) -> Settlement:
    """The settlement of a claim."""
    slots = tuple(
        (part.slot, (*(s.scope for s in part.scopes), *(f"{name}~" for name in part.counted)))
        for part in of.slots
    )
    return Settlement(
        of.reservation_id,
        slots,
        tokens,
        cost,
        of.time_zone,
        of.row,
        usage or TakenUsage(output_tokens=tokens),
    )
