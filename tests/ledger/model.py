"""The ledger once more, as simply as it can be said: lists, no expiry, no Redis.

Every admission is an event that is never forgotten; a window is a sum over the events that are
young enough, a day's count one over those of the day. Time is microseconds, given with each call.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ratelimit_service.ledger.ids import id_millis
from ratelimit_service.ledger.periods import Day, Periods, days_around, periods_at
from ratelimit_service.ledger.types import (
    Claim,
    LimitName,
    RefusalKind,
    ScopeClaim,
    Settlement,
    SettleOutcome,
    Slot,
    SlotClaim,
    TakenUsage,
    Withdrawal,
    limit_of,
)

SWEPT_BY_ADMISSION = 16
THREE_DAYS_MS = 3 * 86_400_000
WINDOW_SECONDS = 62


@dataclass(eq=False)
class Event:
    """One admitted request at one scope; equal to itself only, so that the right one is removed."""

    second: int
    tokens: int
    day: str


@dataclass
class Hold:
    """One reservation in one slot; what it charged when its lease ended is kept in it."""

    claim: Claim
    at: Periods
    events: dict[str, Event]
    soft: frozenset[str]
    lease_ends_ms: int
    counted: tuple[str, ...]
    charged: tuple[int, int] = (0, 0)

    def nano(self, scope: str) -> int:
        """The nano-dollars it reserves in a scope."""
        expected = self.claim.expected_cost
        return expected if scope in self.soft and expected is not None else self.claim.cost


@dataclass
class Refusal:
    """The fields of `Refused`, without slot and states."""

    kind: RefusalKind
    limit_name: LimitName
    scope: str
    limit: int
    used: int
    held: int
    retry_after_ms: int
    resets_at: int | None
    never: bool
    held_only: bool


@dataclass
class SlotModel:
    """What one slot has been told. `settled` is by period label, scope and what."""

    keeps_history: bool
    events: dict[str, list[Event]] = field(default_factory=dict)
    settled: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    holds: dict[str, Hold] = field(default_factory=dict)
    expired: dict[str, Hold] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    withdrawn: set[str] = field(default_factory=set)
    usage: dict[str, list[int]] = field(default_factory=dict)

    def live(self, scope: str, at: int) -> list[Event]:
        """The events that count at second `at`."""
        return [e for e in self.events.get(scope, []) if at - e.second < WINDOW_SECONDS]

    def requests_on(self, scope: str, day: str) -> int:
        """The requests of a day."""
        return sum(event.day == day for event in self.events.get(scope, []))

    def holds_of(self, scope: str) -> list[Hold]:
        """The reservations that are held in a scope."""
        return [hold for hold in self.holds.values() if scope in hold.events]

    def held(self, scope: str) -> tuple[int, int, int]:
        """Nano-dollars, tokens and calls that are held."""
        holds = self.holds_of(scope)
        nano = sum(hold.nano(scope) for hold in holds)
        return nano, sum(hold.claim.tokens for hold in holds), len(holds)

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
        self._count_at_the_end(hold.counted, hold.at.day)
        lost = hold.claim.on_lost == "charge"
        self._charge(hold, hold.claim.tokens if lost else 0, hold.claim.cost if lost else 0)
        self._note(hold.at.day, 1, TakenUsage(), hold.charged[1])

    def _charge(self, hold: Hold, tokens: int, nano: int) -> None:
        before_tokens, before_nano = hold.charged
        for event in hold.events.values():
            event.tokens = tokens
        for scope in (*hold.events, *hold.counted):
            self._settle(scope, hold.at, tokens - before_tokens, nano - before_nano)
        hold.charged = (tokens, nano)

    def _settle(self, scope: str, at: Periods, tokens: int, nano: int) -> None:
        self.settled[at.day, scope, "tokens"] += tokens
        for label in (at.day, at.week, at.month):
            self.settled[label, scope, "nano"] += nano

    def _count_at_the_end(self, scopes: Iterable[str], day: str) -> None:
        # It counts on its day, and in no minute: that has passed.
        for scope in scopes:
            self.events.setdefault(scope, []).append(Event(-WINDOW_SECONDS, 0, day))

    def _note(self, day: str, requests: int, usage: TakenUsage, nano: int) -> None:
        if not self.keeps_history:
            return
        took = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens)
        row = self.usage.setdefault(day, [0] * 6)
        for place, amount in enumerate((requests, *took, nano, usage.errors)):
            row[place] += amount

    def look(self, claim: Claim, part: SlotClaim, micros: int) -> Refusal | str | None:
        """Why not to take the claim; "ended" if it was given back before it came."""
        id_ = claim.reservation_id
        if id_ in self.holds:
            return None
        if id_ in self.withdrawn | self.done | self.expired.keys():
            return "ended"
        return self._refusal(claim, part, micros)

    def admit(self, claim: Claim, part: SlotClaim, micros: int) -> Refusal | str | None:
        """Take the claim, or say why not."""
        obstacle = self.look(claim, part, micros)
        if obstacle is None and claim.reservation_id not in self.holds:
            self._reserve(claim, part, micros)
        return obstacle

    def _reserve(self, claim: Claim, part: SlotClaim, micros: int) -> None:
        second = micros // 1_000_000
        at = periods_at(claim.time_zone, second)
        events = {each.scope: Event(second, claim.tokens, at.day) for each in part.scopes}
        for scope, event in events.items():
            self.events.setdefault(scope, []).append(event)
        soft = frozenset(e.scope for e in part.scopes if e.limits.budget_mode == "soft")
        lease_ends_ms = micros // 1000 + claim.lease_seconds * 1000
        self.holds[claim.reservation_id] = Hold(
            claim, at, events, soft, lease_ends_ms, part.counted
        )

    def _refusal(self, claim: Claim, part: SlotClaim, micros: int) -> Refusal | None:
        for check in (self._requests, self._tokens, self._calls, self._budgets):
            found = [refusal for each in part.scopes for refusal in check(claim, each, micros)]
            if found:
                return max(found, key=lambda each: (each.never, each.retry_after_ms))
        return None

    def _requests(self, claim: Claim, each: ScopeClaim, micros: int) -> list[Refusal]:
        day = days_around(claim.time_zone, micros // 1_000_000)[0]
        live = [(e.second, 1) for e in self.live(each.scope, micros // 1_000_000)]
        today = self.requests_on(each.scope, day.periods.day)
        return _all(
            _window(RefusalKind.REQUESTS, "requests_per_minute", each, live, 1, micros),
            _period(each, "requests_per_day", (today, 0, 1), day.end, micros),
        )

    def _tokens(self, claim: Claim, each: ScopeClaim, micros: int) -> list[Refusal]:
        day = days_around(claim.time_zone, micros // 1_000_000)[0]
        live = [(e.second, e.tokens) for e in self.live(each.scope, micros // 1_000_000)]
        today, held = self.settled[day.periods.day, each.scope, "tokens"], self.held(each.scope)[1]
        amounts = (today, held, claim.tokens)
        return _all(
            _window(RefusalKind.TOKENS, "tokens_per_minute", each, live, claim.tokens, micros),
            _period(each, "tokens_per_day", amounts, day.end, micros),
        )

    def _calls(self, _: Claim, each: ScopeClaim, micros: int) -> list[Refusal]:
        calls = self.held(each.scope)[2]
        return _all(_period(each, "max_parallel_requests", (0, calls, 1), None, micros))

    def _budgets(self, claim: Claim, each: ScopeClaim, micros: int) -> list[Refusal]:
        day: Day = days_around(claim.time_zone, micros // 1_000_000)[0]
        soft = each.limits.budget_mode == "soft" and claim.expected_cost is not None
        need = (claim.expected_cost or 0) if soft else claim.cost
        held = self.held(each.scope)[0]
        names: tuple[tuple[LimitName, str, int], ...] = (
            ("daily_spend_usd", day.periods.day, day.end),
            ("weekly_spend_usd", day.periods.week, day.week_end),
            ("monthly_spend_usd", day.periods.month, day.month_end),
        )
        return _all(
            *(
                _period(each, name, (self.settled[at, each.scope, "nano"], held, need), end, micros)
                for name, at, end in names
            )
        )

    def withdraw(self, withdrawal: Withdrawal, *, on_its_way: bool) -> bool:
        """Undo an admission; or, if it may be on its way, refuse it when it comes."""
        id_ = withdrawal.reservation_id or next(
            (i for i, h in self.holds.items() if h.claim.request_id == withdrawal.request_id), ""
        )
        hold = self.holds.pop(id_, None)
        if hold is None:
            if on_its_way and id_ and id_ not in self.done and id_ not in self.expired:
                self.withdrawn.add(id_)
            return False
        for scope, event in hold.events.items():
            self.events[scope].remove(event)
        return True

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
                before = hold.charged[1]
                self._charge(hold, settlement.tokens, settlement.cost)
                requests = int(outcome is SettleOutcome.SETTLED)
                if requests:
                    self._count_at_the_end(hold.counted, hold.at.day)
                self._note(hold.at.day, requests, settlement.usage, settlement.cost - before)
                self.done.add(id_)
                return outcome
        return self._settle_unknown(settlement, scopes, now_ms)

    def _settle_unknown(
        self, settlement: Settlement, scopes: tuple[str, ...], now_ms: int
    ) -> SettleOutcome:
        made_ms = id_millis(settlement.reservation_id)
        if now_ms - made_ms > THREE_DAYS_MS:
            return SettleOutcome.TOO_OLD
        at = periods_at(settlement.time_zone, made_ms // 1000)
        names = [scope.removesuffix("~") for scope in scopes]
        for scope in names:
            self._settle(scope, at, settlement.tokens, settlement.cost)
        self._count_at_the_end(names, at.day)
        self._note(at.day, 1, settlement.usage, settlement.cost)
        self.withdrawn.discard(settlement.reservation_id)
        self.done.add(settlement.reservation_id)
        reserved = any(not scope.endswith("~") for scope in scopes)
        return SettleOutcome.UNKNOWN if reserved else SettleOutcome.COUNTED


class LedgerModel:
    """All slots."""

    def __init__(self) -> None:
        self.slots: dict[Slot, SlotModel] = {}

    def slot(self, slot: Slot) -> SlotModel:
        """The model of one slot."""
        return self.slots.setdefault(slot, SlotModel(keeps_history=slot.kind == "team"))

    def admit(self, claim: Claim, micros: int) -> tuple[Slot, Refusal] | str | None:
        """Take the claim in every slot, or say which refused first, and why."""
        return self.admit_together([claim], micros, apart=True)[0]

    def admit_together(
        self, claims: list[Claim], micros: int, *, apart: bool
    ) -> list[tuple[Slot, Refusal] | str | None]:
        """One after the other, having swept once. `apart`: each slot decides of all of them before
        what one slot took of a claim that another refuses is given back."""
        for slot in {part.slot for claim in claims for part in claim.asked}:
            self.slot(slot).sweep(micros // 1000, SWEPT_BY_ADMISSION)
        if not apart:
            return [self._all_or_none(claim, micros) for claim in claims]
        answers = [
            [self.slot(part.slot).admit(claim, part, micros) for part in claim.asked]
            for claim in claims
        ]
        return [self._outcome(*each) for each in zip(claims, answers, strict=True)]

    def _all_or_none(self, claim: Claim, micros: int) -> tuple[Slot, Refusal] | str | None:
        looks = [self.slot(part.slot).look(claim, part, micros) for part in claim.asked]
        if not any(looks):
            for part in claim.asked:
                self.slot(part.slot).admit(claim, part, micros)
        return self._outcome(claim, looks)

    def _outcome(
        self, claim: Claim, answers: list[Refusal | str | None]
    ) -> tuple[Slot, Refusal] | str | None:
        if any(answers):
            self.withdraw(claim)
        if "ended" in answers:
            return "ended"
        pairs = zip(claim.asked, answers, strict=True)
        return next(((p.slot, each) for p, each in pairs if isinstance(each, Refusal)), None)

    def withdraw(self, claim: Claim) -> None:
        """Undo an admission in every slot."""
        for part in claim.asked:
            lost = Withdrawal((part.slot,), claim.reservation_id)
            self.slot(part.slot).withdraw(lost, on_its_way=False)

    def withdraw_lost(self, withdrawal: Withdrawal) -> int:
        """Undo it in the slots it names; how many held it."""
        return sum(self.slot(s).withdraw(withdrawal, on_its_way=True) for s in withdrawal.slots)

    def is_used_up(self, claim: Claim) -> bool:
        """Whether its id has ended in any slot, or was given back."""
        id_ = claim.reservation_id
        slots = [self.slot(part.slot) for part in claim.asked]
        return any(id_ in s.done or id_ in s.expired or id_ in s.withdrawn for s in slots)

    def awaits_settlement(self, claim: Claim) -> bool:
        """Whether it was admitted, and its settlement is still to come."""
        slots = [self.slot(part.slot) for part in claim.slots]
        id_ = claim.reservation_id
        return any(id_ in slot.holds or id_ in slot.expired for slot in slots)

    def settle(self, settlement: Settlement, now_ms: int) -> SettleOutcome:
        """Charge what it took in every slot; the outcome that tells most."""
        outcomes = {
            self.slot(slot).settle(settlement, scopes, now_ms) for slot, scopes in settlement.slots
        }
        telling = ("unknown", "corrected", "settled", "too_old", "counted", "duplicate")
        return SettleOutcome(next(each for each in telling if each in outcomes))


def _all(*found: Refusal | None) -> list[Refusal]:
    return [refusal for refusal in found if refusal is not None]


def _period(
    each: ScopeClaim, name: LimitName, amounts: tuple[int, int, int], end: int | None, micros: int
) -> Refusal | None:
    """`amounts`: used, held, needed. `end`: epoch second, None for running calls."""
    used, held, need = amounts
    most = limit_of(each.limits, name)
    if most is None or used + held + need <= most:
        return None
    never, held_only = need > most, used + need <= most
    wait = 0 if never else 1000
    if not never and not held_only:
        assert end is not None
        wait = -(-(end * 1_000_000 - micros) // 1000)
    kind = {
        "requests_per_day": RefusalKind.REQUESTS,
        "tokens_per_day": RefusalKind.TOKENS,
        "max_parallel_requests": RefusalKind.CONCURRENCY,
    }.get(name)
    if kind is None:
        kind = RefusalKind.BUDGET_RESERVED if held_only else RefusalKind.BUDGET_EXCEEDED
    return Refusal(kind, name, each.scope, most, used, held, wait, end, never, held_only)


def _window(  # noqa: PLR0917 - what a window is asked
    kind: RefusalKind,
    name: LimitName,
    each: ScopeClaim,
    live: list[tuple[int, int]],
    need: int,
    micros: int,
) -> Refusal | None:
    """`live` is (second, amount) of what counts now."""
    used = sum(amount for _, amount in live)
    most = limit_of(each.limits, name)
    if most is None or used + need <= most:
        return None
    never = Refusal(kind, name, each.scope, most, used, 0, 0, None, True, False)
    if need > most:
        return never
    room_at = min(
        second + WINDOW_SECONDS
        for second, _ in live
        if need + sum(amount for later, amount in live if later > second) <= most
    )
    wait = -(-(room_at * 1_000_000 - micros) // 1000)
    return replace(never, retry_after_ms=wait, never=False)
