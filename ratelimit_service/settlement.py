"""What a finished request is charged, from its access-log entry. Pure.

The usage in the entry is the provider's own (`reported`), or what rewrite.lua and response.lua
counted of the bytes that passed (`estimated`: a client left, a provider said nothing of usage).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast, get_args

from ratelimit_service.ledger.types import (
    COUNTED_ONLY,
    LARGEST_AMOUNT,
    Settlement,
    Slot,
    SlotClaim,
    SlotKind,
    TakenUsage,
    UsageRow,
    Withdrawal,
)
from tollhouse.money import COUNTS, Price, Usage
from tollhouse.policy.compiled import Org

NONE, REPORTED, ESTIMATED = "none", "reported", "estimated"
NO_ALIAS = "-"
"""In the history, the alias of a refusal that named none that exists."""
_LONGEST_WORD = 64
_COUNTS = frozenset(COUNTS)


@dataclass(frozen=True, slots=True)
class Entry:
    """One access-log entry of an admitted request.

    `slots` are the places that hold its reservation, as `format_slot` writes them.
    `usage_source` is one of the three above. `price` is the one in force at admission, None for an
    unpriced alias. `reached_provider` is False when Envoy never had a connection to it; `failed`:
    the caller got an error all the same. `reserved_cost` is nano-dollars, and so is `silent_cost`:
    what deployments may bill that were asked before and did not answer.
    """

    reservation_id: str
    slots: tuple[str, ...]
    key_id: str
    team: str
    project: str
    alias: str
    usage: Usage
    usage_source: str
    price: Price | None
    reached_provider: bool
    failed: bool = False
    reserved_cost: int = 0
    silent_cost: int = 0


@dataclass(frozen=True, slots=True)
class RefusedEntry:
    """One access-log entry of a request that a known key made and that was refused: `code` says
    why, `started_at` when (epoch seconds)."""

    key_id: str
    team: str
    project: str
    alias: str
    code: str
    started_at: float


@dataclass(frozen=True, slots=True)
class UnansweredEntry:
    """One access-log entry of a request that was granted and went no further: its client left, or
    the answer of this service never came. If a reservation was made, it is given back."""

    request_id: str
    team: str
    alias: str


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens and nano-dollars, and where they were learned."""

    usage: Usage
    cost: int
    source: str

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


def read_usage(
    written: Mapping[str, object] | None,
) -> tuple[Usage, str]:
    """Usage and its source from what Lua wrote; nothing where it wrote nothing.

    rewrite.lua writes a first estimate as it lets a request go: no metadata, no request sent.
    Raises ValueError for a count that is not a number.
    """
    if written is None:
        return Usage(0, 0), NONE

    counts = {"input_tokens": 0, "output_tokens": 0}
    for name, value in written.items():
        if value and name in _COUNTS:
            counts[name] = _count(value)
    usage = Usage(
        **counts,
        service_tier=_word(written.get("service_tier")),
        image_variant=_word(written.get("image_variant")),
    )
    source = written.get("usage_source")
    return usage, str(source) if source in (NONE, REPORTED) else ESTIMATED


def _count(value: object) -> int:
    # The bounds take an infinity too, which no integer can hold.
    number = value if isinstance(value, int | float) else 0
    return int(min(max(number, 0), LARGEST_AMOUNT))


def _word(value: object) -> str:
    """Text that a provider or a client chose, bounded: it only ever selects a price by name."""
    return value[:_LONGEST_WORD] if isinstance(value, str) else ""


def silent_cost(tried: Iterable[Mapping[str, Any]]) -> int:
    """Nano-dollars that deployments may bill which were asked, were at work all their time, and did
    not begin to answer. rewrite.lua says of each what it had estimated of it.

    Raises ValueError for a price or a count that is malformed.
    """
    silent = [each["silent"] for each in tried if "silent" in each]
    return sum(
        Price.from_labels(each["price"]).cost(read_usage(each.get("usage"))[0])
        for each in silent
        if "price" in each
    )


def charge(entry: Entry) -> Charge:
    """What the request really took: what the deployment that answered did, and what silent ones
    before it may have. The latter is a guess, and never takes more than is left of what was
    reserved."""
    answered = _answered(entry)
    if not entry.silent_cost:
        return answered
    left = max(entry.reserved_cost - answered.cost, 0)
    return replace(answered, cost=answered.cost + min(entry.silent_cost, left))


def _answered(entry: Entry) -> Charge:
    """Nothing when the provider never got it."""
    if not entry.reached_provider or entry.usage_source == NONE:
        return Charge(Usage(0, 0), 0, NONE)
    cost = entry.price.cost(entry.usage) if entry.price else 0
    return Charge(entry.usage, cost, entry.usage_source)


def settlement(entry: Entry, charged: Charge, org: Org) -> Settlement:
    """The ledger's instruction. Raises ValueError when the entry's names are malformed."""
    usage = charged.usage
    return Settlement(
        reservation_id=entry.reservation_id,
        slots=_parsed(entry.slots),
        # As for claims: what a provider reports past what the ledger counts is the largest amount.
        tokens=min(charged.tokens, LARGEST_AMOUNT),
        cost=min(charged.cost, LARGEST_AMOUNT),
        time_zone=org.time_zone,
        row=_row(entry.project, entry.key_id, entry.alias, org.usage_retention_days),
        usage=TakenUsage(
            min(usage.input_tokens, LARGEST_AMOUNT),
            min(usage.output_tokens, LARGEST_AMOUNT),
            min(usage.cached_input_tokens, LARGEST_AMOUNT),
            int(entry.failed),
        ),
    )


# The same for all calls of one key for one alias.


@lru_cache(maxsize=8_192)
def _parsed(slots: tuple[str, ...]) -> tuple[tuple[Slot, tuple[str, ...]], ...]:
    return tuple(map(parse_slot, slots))


@lru_cache(maxsize=8_192)
def _row(project: str, key_id: str, alias: str, kept_days: int) -> UsageRow:
    return UsageRow(project, key_id, alias, kept_days)


def withdrawal(entry: UnansweredEntry, org: Org) -> Withdrawal:
    """What gives the reservation back, wherever the call may have one. Raises ValueError."""
    slots = (Slot("team", entry.team), Slot("org", org.name), Slot("alias", entry.alias))
    return Withdrawal(slots, request_id=entry.request_id)


def parse_slot(text: str) -> tuple[Slot, tuple[str, ...]]:
    """ "team:marketing|key:web-1,project:site,team,team@small~" to a Slot and its scopes, as a
    Settlement has them. Raises ValueError."""
    slot, _, scopes = text.partition("|")
    kind, _, name = slot.partition(":")
    if kind not in get_args(SlotKind) or not scopes:
        raise ValueError("a slot is team:NAME|SCOPES, org:NAME|SCOPES or alias:NAME|SCOPES")
    return Slot(cast(SlotKind, kind), name), tuple(scopes.split(","))


def format_slot(claimed: SlotClaim) -> str:
    """The inverse of `parse_slot`."""
    reserved = [each.scope for each in claimed.scopes]
    scopes = ",".join(reserved + [f"{scope}{COUNTED_ONLY}" for scope in claimed.counted])
    return f"{claimed.slot.tag}|{scopes}"
