"""The words of the ledger: what is claimed, what is answered, what is settled.

Units: tokens are whole tokens, money is whole nano-dollars (10^-9 USD), waits are milliseconds,
`resets_at` is epoch seconds. Limits stay below 2**53, the largest whole number that a Redis
script (whose numbers are doubles) keeps exact. What one request takes stays far below, so that the
sum of a million of them is a number that HINCRBY (64 bits) can hold: it fails beyond, in the middle
of a script. 2**43 is 8,796 USD, or nine million million tokens.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Literal, cast, get_args

from ratelimit_service.ledger.periods import Periods
from tollhouse.policy.compiled import Limits

LARGEST_LIMIT = 2**53 - 1
LARGEST_AMOUNT = 2**43

COUNTED_ONLY = "~"
"""After the name of a scope: nothing is reserved there, it counts when a request ends."""

SlotKind = Literal["team", "org", "alias"]
OnLost = Literal["charge", "release"]

LimitName = Literal[
    "requests_per_minute",
    "requests_per_day",
    "tokens_per_minute",
    "tokens_per_day",
    "max_parallel_requests",
    "daily_spend_usd",
    "weekly_spend_usd",
    "monthly_spend_usd",
]
"""The limits by their names in a policy. Amounts of spend are nano-dollars here all the same."""


NO_LIMITS = Limits()


def limit_of(limits: Limits, name: LimitName) -> int | None:
    """One limit by its name: a count, or nano-dollars; None is no limit."""
    value: int | None = getattr(limits, name.replace("_usd", "_nanousd"))
    return value


# Braces would end the hash tag; the others separate and mark the fields of a stored hold.
_NAME = re.compile(r"[^\s{}|,*~]{1,400}")
_RESERVATION_ID = re.compile(r"[0-9a-f]{32}")


@lru_cache(maxsize=16_384)
def _require_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a slot or scope name is empty, too long, or holds whitespace or {}|,*~")


def _require_id(reservation_id: str) -> None:
    if _RESERVATION_ID.fullmatch(reservation_id) is None:
        raise ValueError("a reservation id is 32 lower-case hex digits")


def _require_amount(field: str, amount: int, most: int = LARGEST_AMOUNT) -> None:
    if not 0 <= amount <= most:
        raise ValueError(f"{field} must lie between 0 and {most}")


@dataclass(frozen=True, slots=True)
class Slot:
    """One hash slot of the store: everything in it is read and written by one atomic script.

    A team's slot holds the scopes `team`, `project:<name>` and `key:<id>`; an org's slot holds
    `org`; an alias's slot holds `alias`.
    """

    kind: SlotKind
    name: str

    def __post_init__(self) -> None:
        _require_name(self.name)

    @property
    def tag(self) -> str:
        """ "team:marketing", which is what the store's keys are tagged with."""
        return f"{self.kind}:{self.name}"

    @classmethod
    def from_tag(cls, tag: str) -> "Slot":
        """The slot that has this `tag`."""
        kind, _, name = tag.partition(":")
        return cls(cast(SlotKind, kind), name)


@dataclass(frozen=True, slots=True)
class ScopeClaim:
    """One scope in its slot, and its limits; where there is none it is counted all the same."""

    scope: str
    limits: Limits = NO_LIMITS

    def __hash__(self) -> int:
        # A scope seldom has two sets of limits, and one of these takes long to hash.
        return hash(self.scope)

    def __post_init__(self) -> None:
        _require_name(self.scope)
        for name in get_args(LimitName):
            _require_amount("limit", limit_of(self.limits, name) or 0, LARGEST_LIMIT)


@dataclass(frozen=True, slots=True)
class SlotClaim:
    """The scopes that one request touches in one slot.

    Those of `counted` have no limit: nothing is reserved in them, and what the request took is
    added when it ends. A limit that is set there later knows what was spent.
    """

    slot: Slot
    scopes: tuple[ScopeClaim, ...]
    counted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for scope in self.counted:
            _require_name(scope)


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Where the history of a team counts a request. `kept_days` is how long."""

    project: str
    key: str
    alias: str
    kept_days: int

    def __post_init__(self) -> None:
        for name in (self.project, self.key, self.alias):
            _require_name(name)


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request asks for: one request, `tokens`, and nano-dollars, in every scope.

    `cost` is its worst case, `expected_cost` what soft budgets reserve instead (None: the worst
    case too). `reservation_id` comes from `ids.new_reservation_id`; `request_id` is Envoy's, by
    which a reservation is found whose id never reached Envoy, "" without one. The reservation ends
    by itself `lease_seconds` after admission; `on_lost` says whether it is then charged in full or
    released. Days begin at midnight in `time_zone`, an IANA name. A ValueError names what is
    malformed.
    """

    reservation_id: str
    slots: tuple[SlotClaim, ...]
    tokens: int
    cost: int
    lease_seconds: int
    on_lost: OnLost
    time_zone: str
    expected_cost: int | None = None
    request_id: str = ""
    row: UsageRow | None = None

    def __post_init__(self) -> None:
        _require_id(self.reservation_id)
        _require_amount("tokens", self.tokens)
        _require_amount("cost", self.cost)
        _require_amount("expected_cost", self.expected_cost or 0)
        _require_amount("lease_seconds", self.lease_seconds)
        if self.request_id:
            _require_name(self.request_id)

    @property
    def asked(self) -> tuple[SlotClaim, ...]:
        """The slots in which something is reserved."""
        return tuple(part for part in self.slots if part.scopes)


@dataclass(frozen=True, slots=True)
class ScopeState:
    """The counters of one scope, after the admission or the refusal that reports them.

    A `reset` is the time until that window is entirely empty again if nothing more is admitted.
    `…_today` and `…_spend` are of the day, week and month of `periods`, without what running calls
    hold; that is `held_spend` and `held_tokens`, of `running` calls.
    """

    slot: Slot
    scope: str
    limits: Limits
    periods: Periods
    requests_used: int
    requests_reset_ms: int
    tokens_used: int
    tokens_reset_ms: int
    requests_today: int
    tokens_today: int
    daily_spend: int
    weekly_spend: int
    monthly_spend: int
    held_spend: int
    held_tokens: int
    running: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The claim is counted and reserved at every scope; `states` has them all, in claim order.

    `births` says when each slot was first used, epoch ms: it changes if the store lost the slot.
    """

    reservation_id: str
    states: tuple[ScopeState, ...]
    births: dict[Slot, int] = field(default_factory=dict)


class RefusalKind(StrEnum):
    """Which limit stood in the way, spelled as the decision code of the gateway."""

    REQUESTS = "rate_limit_requests"
    TOKENS = "rate_limit_tokens"
    CONCURRENCY = "concurrency_limit"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_RESERVED = "budget_reserved"


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A reservation whose request went no further, to be given back in `slots`.

    It is found by `reservation_id`, or, where that never reached Envoy, by Envoy's `request_id`.
    """

    slots: tuple[Slot, ...]
    reservation_id: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim took nothing, at any scope.

    `used` is what counts against `limit` now: what the window holds, or what the period has
    settled; `held` is what running calls hold beside it, 0 for a window. `retry_after_ms` is when
    the same claim will fit this limit if nothing else comes; where only running calls stand in the
    way (`held_only`) it is a guess. `resets_at` is the end of the limit's day, week or month, None
    for a window and for running calls. `never`: the claim is larger than the limit itself, so
    waiting cannot help and `retry_after_ms` is 0. `states` has the scopes of the slots that
    refused. `unreturned` is what other slots took and the store could not be told to give back.
    """

    kind: RefusalKind
    limit_name: LimitName
    slot: Slot
    scope: str
    limit: int
    used: int
    held: int
    retry_after_ms: int
    resets_at: int | None
    never: bool
    held_only: bool
    states: tuple[ScopeState, ...]
    unreturned: Withdrawal | None = None


@dataclass(frozen=True, slots=True)
class TakenUsage:
    """What the history notes of a request that ended; `errors` is 1 if the provider failed."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    errors: int = 0

    def __post_init__(self) -> None:
        for amount in (self.input_tokens, self.output_tokens, self.cached_input_tokens):
            _require_amount("tokens", amount)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a request really took: it replaces the reservation in every slot that it was made in.

    `slots` repeats the slots and scopes of the claim, with COUNTED_ONLY after those that nothing
    was reserved in; they are what is charged if the store has no trace of the reservation. `row`
    and `usage` are for the history. A ValueError names what is malformed.
    """

    reservation_id: str
    slots: tuple[tuple[Slot, tuple[str, ...]], ...]
    tokens: int
    cost: int
    time_zone: str
    row: UsageRow | None = None
    usage: TakenUsage = TakenUsage()

    def __post_init__(self) -> None:
        _require_id(self.reservation_id)
        _require_amount("tokens", self.tokens)
        _require_amount("cost", self.cost)
        for _, scopes in self.slots:
            for scope in scopes:
                _require_name(scope.removesuffix(COUNTED_ONLY))


@dataclass(frozen=True, slots=True)
class Refusals:
    """Refusals of one day for the history: how many, with which code."""

    team: str
    row: UsageRow
    day: str
    code: str
    count: int


@dataclass(slots=True)
class SlotTotals:
    """What a slot had settled, summed up.

    `counters`: nano-dollars by "week" or "month", label and scope. `usage`: requests, input, output
    and cached tokens, nano-dollars and errors, by row and day.
    """

    counters: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    usage: dict[tuple[UsageRow, str], list[int]] = field(default_factory=dict)


class SettleOutcome(StrEnum):
    """What a settlement did, over all its slots.

    SETTLED    the reservation was replaced by what it really took
    CORRECTED  its lease had ended before: what that had charged was corrected
    UNKNOWN    the store had no trace of it (restarted empty, or away at admission): charged now
    DUPLICATE  it was settled before; nothing changed
    TOO_OLD    no trace, and so old that the trace of a settlement may be gone: not charged
    COUNTED    it was added to scopes that nothing was reserved in; elsewhere, it was settled before
    """

    SETTLED = "settled"
    CORRECTED = "corrected"
    UNKNOWN = "unknown"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    COUNTED = "counted"
