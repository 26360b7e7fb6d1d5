"""What a finished request is charged, from its access-log entry. Pure.

The usage in the entry is the provider's own (`reported`), or what rewrite.lua and response.lua
counted of the bytes that passed (`estimated`: a client left, a provider said nothing of usage).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from ratelimit_service.ledger.types import LARGEST_AMOUNT, Settlement, Slot, SlotKind
from tollhouse.money import Price, Usage

NONE, REPORTED, ESTIMATED = "none", "reported", "estimated"


@dataclass(frozen=True, slots=True)
class Entry:
    """One access-log entry of an admitted request.

    `slots` are the places that hold its reservation, as "kind:name". `usage_source` is one of the
    three above. `price` is the one in force at admission, None for an unpriced alias.
    `reached_provider` is False when Envoy never had a connection to it.
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


@dataclass(frozen=True, slots=True)
class Charge:
    """Tokens and nano-dollars, and where they were learned."""

    usage: Usage
    cost: int
    source: str

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


def charge(entry: Entry) -> Charge:
    """What the request really took; nothing when the provider never got it."""
    if not entry.reached_provider or entry.usage_source == NONE:
        return Charge(Usage(0, 0), 0, NONE)
    cost = entry.price.cost(entry.usage) if entry.price else 0
    return Charge(entry.usage, cost, entry.usage_source)


def settlement(entry: Entry, charged: Charge, time_zone: str) -> Settlement:
    """The ledger's instruction. Raises ValueError when the entry's names are malformed."""
    return Settlement(
        reservation_id=entry.reservation_id,
        slots=tuple((slot, _scopes(slot, entry)) for slot in map(parse_slot, entry.slots)),
        # As for claims: what a provider reports past what the ledger counts is the largest amount.
        tokens=min(charged.tokens, LARGEST_AMOUNT),
        cost=min(charged.cost, LARGEST_AMOUNT),
        time_zone=time_zone,
    )


def parse_slot(text: str) -> Slot:
    """ "team:marketing" to a Slot. Raises ValueError."""
    kind, _, name = text.partition(":")
    if kind not in get_args(SlotKind):
        raise ValueError("a slot is team:NAME, org:NAME or alias:NAME")
    return Slot(cast(SlotKind, kind), name)


def format_slot(slot: Slot) -> str:
    return f"{slot.kind}:{slot.name}"


def _scopes(slot: Slot, entry: Entry) -> tuple[str, ...]:
    if slot.kind == "team":
        return (f"key:{entry.key_id}", f"project:{entry.project}", "team")
    return (slot.kind,)
