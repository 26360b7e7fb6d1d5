"""The words of the ledger: what is claimed, what is answered, what is settled.

Units: tokens are whole tokens, money is whole nano-dollars (10^-9 USD), waits are milliseconds,
`resets_at` is epoch seconds. Amounts stay below 2**53, the largest whole number that a Redis
script (whose numbers are doubles) keeps exact; that is 9 million dollars for one request.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

LARGEST_AMOUNT = 2**53 - 1

SlotKind = Literal["team", "org", "alias"]
OnLost = Literal["charge", "release"]

# Braces would end the hash tag; bars and commas separate the fields of a stored hold.
_NAME = re.compile(r"[^\s{}|,]{1,200}")
_RESERVATION_ID = re.compile(r"[0-9a-f]{32}")


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


@dataclass(frozen=True, slots=True)
class ScopeLimits:
    """The limits of one scope in its slot. None is no limit; the scope is counted all the same."""

    scope: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    monthly_spend_nanousd: int | None = None

    def __post_init__(self) -> None:
        _require_name(self.scope)
        for limit in (
            self.requests_per_minute,
            self.tokens_per_minute,
            self.monthly_spend_nanousd,
        ):
            _require_amount("limit", limit or 0)


@dataclass(frozen=True, slots=True)
class SlotClaim:
    """The scopes that one request touches in one slot."""

    slot: Slot
    scopes: tuple[ScopeLimits, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one request asks for: one request, `tokens`, and `cost` nano-dollars, in every scope.

    `reservation_id` comes from `ids.new_reservation_id`. The reservation ends by itself
    `lease_seconds` after admission; `on_lost` says whether it is then charged in full or released.
    Months begin at midnight in `time_zone`, an IANA name. A ValueError names what is malformed.
    """

    reservation_id: str
    slots: tuple[SlotClaim, ...]
    tokens: int
    cost: int
    lease_seconds: int
    on_lost: OnLost
    time_zone: str

    def __post_init__(self) -> None:
        _require_id(self.reservation_id)
        _require_amount("tokens", self.tokens)
        _require_amount("cost", self.cost)
        _require_amount("lease_seconds", self.lease_seconds)


@dataclass(frozen=True, slots=True)
class ScopeState:
    """The counters of one scope, after the admission or the refusal that reports them.

    A `reset` is the time until that window is entirely empty again if nothing more is admitted.
    `month` is `YYYY-MM`, the month that the spend figures belong to.
    """

    slot: Slot
    scope: str
    requests_used: int
    requests_limit: int | None
    requests_reset_ms: int
    tokens_used: int
    tokens_limit: int | None
    tokens_reset_ms: int
    spend_settled: int
    spend_held: int
    spend_limit: int | None
    month: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """The claim is counted and reserved at every scope; `states` has them all, in claim order."""

    reservation_id: str
    states: tuple[ScopeState, ...]


class RefusalKind(StrEnum):
    """Which limit stood in the way, spelled as the decision code of the gateway."""

    REQUESTS = "rate_limit_requests"
    TOKENS = "rate_limit_tokens"
    BUDGET_EXCEEDED = "budget_exceeded"
    BUDGET_RESERVED = "budget_reserved"


@dataclass(frozen=True, slots=True)
class Refused:
    """The claim took nothing, at any scope.

    `used` is what counts against `limit` now: requests or tokens in the window, or nano-dollars
    settled; `held` is nano-dollars reserved, 0 for a window. `retry_after_ms` is when the same
    claim will fit this limit if nothing else comes, except for BUDGET_RESERVED, where it is a
    guess. `resets_at` is the end of a budget's month, None for a window. `never`: the claim is
    larger than the limit itself, so waiting cannot help and `retry_after_ms` is 0.
    `states` has the scopes of the slots that refused.
    """

    kind: RefusalKind
    slot: Slot
    scope: str
    limit: int
    used: int
    held: int
    retry_after_ms: int
    resets_at: int | None
    never: bool
    states: tuple[ScopeState, ...]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a request really took: it replaces the reservation in every slot that it was made in.

    `slots` repeats the slots and scopes of the claim; they are what is charged if the store has no
    trace of the reservation. A ValueError names what is malformed.
    """

    reservation_id: str
    slots: tuple[tuple[Slot, tuple[str, ...]], ...]
    tokens: int
    cost: int
    time_zone: str

    def __post_init__(self) -> None:
        _require_id(self.reservation_id)
        _require_amount("tokens", self.tokens)
        _require_amount("cost", self.cost)
        for _, scopes in self.slots:
            for scope in scopes:
                _require_name(scope)


class SettleOutcome(StrEnum):
    """What a settlement did, over all its slots.

    SETTLED    the reservation was replaced by what it really took
    CORRECTED  its lease had ended before: what that had charged was corrected
    UNKNOWN    the store had no trace of it (restarted empty, or away at admission): charged now
    DUPLICATE  it was settled before; nothing changed
    TOO_OLD    no trace, and so old that the trace of a settlement may be gone: not charged
    """

    SETTLED = "settled"
    CORRECTED = "corrected"
    UNKNOWN = "unknown"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"


def _require_name(name: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a slot or scope name is empty, too long, or holds whitespace or {}|,")


def _require_id(reservation_id: str) -> None:
    if _RESERVATION_ID.fullmatch(reservation_id) is None:
        raise ValueError("a reservation id is 32 lower-case hex digits")


def _require_amount(field: str, amount: int) -> None:
    if not 0 <= amount <= LARGEST_AMOUNT:
        raise ValueError(f"{field} must lie between 0 and {LARGEST_AMOUNT}")
