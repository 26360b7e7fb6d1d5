"""The ledger once more, as simply as it can be said: lists, no expiry, no Redis.

Every admission is an event that is never forgotten; a window is a sum over the events that are
young enough. Time is epoch seconds and microseconds, given with each call.
"""

from collections import Counter
from dataclasses import dataclass, field

from ratelimit_service.ledger.periods import months_around
from ratelimit_service.ledger.types import (
    Claim,
    RefusalKind,
    ScopeLimits,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
)

SWEPT_BY_ADMISSION = 16
THREE_DAYS_MS = 3 * 86_400_000


@dataclass(eq=False)
class Event:
    """One admitted request at one scope; equal to itself only, so that the right one is removed."""

    second: int
    tokens: int


@dataclass
class Hold:
    """One reservation in one slot; what it charged when its lease ended is kept in it."""

    claim: Claim
    month: str
    events: dict[str, Event]
    lease_ends_ms: int
    charged: int = 0


@dataclass
class Refusal:
    """The fields of `Refused`, without the states."""

    kind: RefusalKind
    scope: str
    limit: int
    used: int
    held: int
    retry_after_ms: int
    resets_at: int | None
    never: bool


@dataclass
class SlotModel:
    """What one slot has been told."""

    events: dict[str, list[Event]] = field(default_factory=dict)
    settled: Counter[tuple[str, str]] = field(default_factory=Counter)
    holds: dict[str, Hold] = field(default_factory=dict)
    expired: dict[str, Hold] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def live(self, scope: str, at: int) -> list[Event]:
        """The events that count at second `at`."""
        return [event for event in self.events.get(scope, []) if at - event.second <= 60]

    def held(self, scope: str, month: str) -> int:
        """The nano-dollars reserved."""
        return sum(
            hold.claim.cost
            for hold in self.holds.values()
            if scope in hold.events and hold.month == month
        )

    def sweep(self, now_ms: int, most: int | None = None) -> int:
        """End what is over its lease, those that ended first first."""
        over = sorted(
            (hold.lease_ends_ms, id_)
            for id_, hold in self.holds.items()
            if hold.lease_ends_ms <= now_ms
        )[:most]
        for _, id_ in over:
            self._expire(id_)
        return len(over)

    def _expire(self, id_: str) -> None:
        hold = self.expired[id_] = self.holds.pop(id_)
        if hold.claim.on_lost == "charge":
            self._charge(hold, hold.claim.tokens, hold.claim.cost)
        else:
            self._charge(hold, 0, 0)

    def _charge(self, hold: Hold, tokens: int, cost: int) -> None:
        for scope, event in hold.events.items():
            event.tokens = tokens
            self.settled[scope, hold.month] += cost - hold.charged
        hold.charged = cost

    def admit(self, claim: Claim, part: SlotClaim, micros: int) -> Refusal | None:
        """Take the claim, or say why not."""
        self.sweep(micros // 1000, SWEPT_BY_ADMISSION)
        if claim.reservation_id in self.holds:
            return None
        refusal = self._refusal(claim, part, micros)
        if refusal is None:
            self._reserve(claim, part, micros)
        return refusal

    def _reserve(self, claim: Claim, part: SlotClaim, micros: int) -> None:
        second = micros // 1_000_000
        events = {limits.scope: Event(second, claim.tokens) for limits in part.scopes}
        for scope, event in events.items():
            self.events.setdefault(scope, []).append(event)
        month = months_around(claim.time_zone, second)[1].label
        lease_ends_ms = micros // 1000 + claim.lease_seconds * 1000
        self.holds[claim.reservation_id] = Hold(claim, month, events, lease_ends_ms)

    def _refusal(self, claim: Claim, part: SlotClaim, micros: int) -> Refusal | None:
        for check in (self._requests, self._tokens, self._budget):
            found = [check(claim, limits, micros) for limits in part.scopes]
            refusals = [refusal for refusal in found if refusal is not None]
            if refusals:
                return max(refusals, key=lambda each: (each.never, each.retry_after_ms))
        return None

    def _requests(self, _: Claim, limits: ScopeLimits, micros: int) -> Refusal | None:
        live = [(e.second, 1) for e in self.live(limits.scope, micros // 1_000_000)]
        asked = (RefusalKind.REQUESTS, limits.scope, 1, limits.requests_per_minute)
        return _window_refusal(asked, live, micros)

    def _tokens(self, claim: Claim, limits: ScopeLimits, micros: int) -> Refusal | None:
        live = [(e.second, e.tokens) for e in self.live(limits.scope, micros // 1_000_000)]
        asked = (RefusalKind.TOKENS, limits.scope, claim.tokens, limits.tokens_per_minute)
        return _window_refusal(asked, live, micros)

    def _budget(self, claim: Claim, limits: ScopeLimits, micros: int) -> Refusal | None:
        month = months_around(claim.time_zone, micros // 1_000_000)[1]
        settled = self.settled[limits.scope, month.label]
        held = self.held(limits.scope, month.label)
        most, cost = limits.monthly_spend_nanousd, claim.cost
        if most is None or settled + held + cost <= most:
            return None
        never = cost > most
        kind, wait = RefusalKind.BUDGET_RESERVED, 1000
        if settled + cost > most:
            until_end = -(-(month.end * 1_000_000 - micros) // 1000)
            kind, wait = RefusalKind.BUDGET_EXCEEDED, 0 if never else until_end
        return Refusal(kind, limits.scope, most, settled, held, wait, month.end, never)

    def withdraw(self, id_: str) -> None:
        """Undo an admission."""
        hold = self.holds.pop(id_, None)
        for scope, event in hold.events.items() if hold else ():
            self.events[scope].remove(event)

    def settle(self, settlement: Settlement, scopes: tuple[str, ...], now_ms: int) -> SettleOutcome:
        """Charge what it took, once."""
        id_ = settlement.reservation_id
        if id_ in self.done:
            return SettleOutcome.DUPLICATE
        for ended, outcome in (
            (self.holds, SettleOutcome.SETTLED),
            (self.expired, SettleOutcome.CORRECTED),
        ):
            hold = ended.pop(id_, None)
            if hold is not None:
                self._charge(hold, settlement.tokens, settlement.cost)
                self.done.add(id_)
                return outcome
        return self._settle_unknown(settlement, scopes, now_ms)

    def _settle_unknown(
        self, settlement: Settlement, scopes: tuple[str, ...], now_ms: int
    ) -> SettleOutcome:
        made_ms = int(settlement.reservation_id[:12], 16)
        if now_ms - made_ms > THREE_DAYS_MS:
            return SettleOutcome.TOO_OLD
        month = months_around(settlement.time_zone, made_ms // 1000)[1].label
        for scope in scopes:
            self.settled[scope, month] += settlement.cost
        self.done.add(settlement.reservation_id)
        return SettleOutcome.UNKNOWN


class LedgerModel:
    """All slots."""

    def __init__(self) -> None:
        self.slots: dict[Slot, SlotModel] = {}

    def slot(self, slot: Slot) -> SlotModel:
        """The model of one slot."""
        return self.slots.setdefault(slot, SlotModel())

    def admit(self, claim: Claim, micros: int) -> tuple[Slot, Refusal] | None:
        """Take the claim in every slot, or say which refused first, and why."""
        answers = [
            (part.slot, self.slot(part.slot).admit(claim, part, micros)) for part in claim.slots
        ]
        refusals = [(slot, refusal) for slot, refusal in answers if refusal is not None]
        if refusals:
            self.withdraw(claim)
        return refusals[0] if refusals else None

    def withdraw(self, claim: Claim) -> None:
        """Undo an admission in every slot."""
        for part in claim.slots:
            self.slot(part.slot).withdraw(claim.reservation_id)

    def has_ended(self, claim: Claim) -> bool:
        """Whether a settlement or a lease has ended it in any slot."""
        slots = [self.slot(part.slot) for part in claim.slots]
        return any(claim.reservation_id in slot.done | slot.expired.keys() for slot in slots)

    def awaits_settlement(self, claim: Claim) -> bool:
        """Whether it was admitted and not settled, its lease over or not."""
        slots = [self.slot(part.slot) for part in claim.slots]
        return any(
            claim.reservation_id in slot.holds.keys() | slot.expired.keys() for slot in slots
        )

    def settle(self, settlement: Settlement, now_ms: int) -> SettleOutcome:
        """Charge what it took in every slot; the most telling outcome of them."""
        outcomes = {
            self.slot(slot).settle(settlement, scopes, now_ms) for slot, scopes in settlement.slots
        }
        telling = ("UNKNOWN", "CORRECTED", "SETTLED", "TOO_OLD", "DUPLICATE")
        return next(SettleOutcome[name] for name in telling if SettleOutcome[name] in outcomes)


def _window_refusal(
    asked: tuple[RefusalKind, str, int, int | None], live: list[tuple[int, int]], micros: int
) -> Refusal | None:
    """`asked` is kind, scope, need and limit; `live` is (second, amount) of what counts now."""
    kind, scope, need, most = asked
    used = sum(amount for _, amount in live)
    if most is None or used + need <= most:
        return None
    if need > most:
        return Refusal(kind, scope, most, used, 0, 0, None, True)
    room_at = min(
        second + 61
        for second, _ in live
        if need + sum(amount for later, amount in live if later > second) <= most
    )
    wait = -(-(room_at * 1_000_000 - micros) // 1000)
    return Refusal(kind, scope, most, used, 0, wait, None, False)
