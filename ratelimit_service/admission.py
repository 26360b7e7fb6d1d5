"""Admits a call or refuses it: policy, claim, ledger, and what an outage means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ratelimit_service.answers import (
    Headers,
    Refusal,
    parameter_refusal,
    rate_limit_headers,
    refusal,
    scope_in_words,
)
from ratelimit_service.claims import Bound, bound
from ratelimit_service.coverage import NotCovered, not_covered
from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Admitted, Claim, Refused, Withdrawal
from ratelimit_service.metrics import Metrics
from ratelimit_service.policies import Policies, UnknownGrant
from ratelimit_service.replica import Replica
from ratelimit_service.size import Call
from ratelimit_service.toll import Toll, claim
from tollhouse.decisions import ALLOWED, LEDGER_UNAVAILABLE, PARAMETER_NOT_ALLOWED
from tollhouse.money import Usage
from tollhouse.policy.watch import PolicyHolder

log = logging.getLogger("ratelimit_service.admission")

# Envoy sends the end of a call up to 20 ms later. A client whose calls follow one another must not
# meet its own last call.
_PATIENCE_SECONDS = (0.03, 0.06)
_UNCOUNTABLE = (
    "The call could take more than this gateway can reserve: at most 8,796 USD and nine million "
    "million tokens. Send a smaller max_completion_tokens, n, or fewer files."
)
_DEGRADED: Headers = [("x-tollhouse-degraded", "ledger")]


class NotCounted(Exception):
    """The call can be neither admitted nor refused now; Envoy answers 503 ledger_unavailable."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """An admitted call. `degraded`: the store was away, and this replica counted alone."""

    id: str
    slots: tuple[str, ...]
    bound: Usage
    cost: int
    headers: Headers
    degraded: bool = False


@dataclass(frozen=True, slots=True)
class Limited:
    """A refused call; `scope` says where the limit stands, in words."""

    refusal: Refusal
    scope: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call on its way through: what the policy says of it, and what it asks of the ledger."""

    toll: Toll
    claim: Claim
    bound: Bound


_Answer = tuple[Admitted | Refused, bool]
"""What the ledger says, and whether it was the one that stands in for it."""


class Admission:
    """One per service. `holder` is read at every call: a reload needs no word to this class."""

    def __init__(
        self,
        holder: PolicyHolder,
        ledger: Ledger,
        metrics: Metrics,
        replica: Replica,
        give_back: Callable[[Withdrawal], None],
    ) -> None:
        self._policies = Policies(holder)
        self._ledger = ledger
        self._metrics = metrics
        self._replica = replica
        self._give_back = give_back
        self._told_away = False

    async def admit(self, call: Call) -> Reservation | Limited:
        """Raises NotCounted."""
        started = time.perf_counter()
        try:
            toll = await self._policies.find(call)
        except UnknownGrant as error:
            raise NotCounted(str(error)) from None
        if uncovered := not_covered(call.size, toll.answering, toll.scopes):
            return self._not_covered(uncovered, toll)
        worst = bound(toll.terms, call.size)
        if not worst.is_countable:
            return self._uncountable(toll)
        asked = self._asked(call, toll, worst)
        try:
            outcome, degraded = await self._ask_patiently(asked)
        except LedgerError as error:
            self._count(LEDGER_UNAVAILABLE, toll)
            self._withdraw(asked)
            raise NotCounted(str(error)) from error
        finally:
            self._metrics.admission_seconds.observe(time.perf_counter() - started)
        if isinstance(outcome, Refused):
            return self._refused(asked, outcome, degraded=degraded)
        self._require_known(asked, outcome)
        return self._reserved(asked, outcome, degraded=degraded)

    def _asked(self, call: Call, toll: Toll, worst: Bound) -> _Asked:
        expected = self._replica.expectation.cost(toll.key.id, toll.alias.name, worst.cost)
        asked = claim(
            toll,
            worst,
            reservation_id=new_reservation_id(),
            request_id=call.request_id,
            expected_cost=expected,
        )
        return _Asked(toll, asked, worst)

    async def _ask_patiently(self, asked: _Asked) -> _Answer:
        """Where only running calls stand in the way, the last of them may have just ended."""
        answer = await self._ask(asked)
        for seconds in _PATIENCE_SECONDS:
            # What could not be returned is given back by its id, and a second claim with it.
            if isinstance(answer[0], Admitted) or answer[0].unreturned or not answer[0].held_only:
                break
            await asyncio.sleep(seconds)
            answer = await self._ask(asked)
        return answer

    async def _ask(self, asked: _Asked) -> _Answer:
        try:
            outcome = await self._ledger.admit(asked.claim)
        except LedgerUnavailable:
            self._metrics.redis_errors.labels("admit").inc()
            self._tell(away=True)
            if asked.toll.snapshot.org.on_store_outage == "deny":
                raise
            return self._replica.stand_in.admit(asked.claim), True
        self._tell(away=False)
        self._replica.stand_in.hear(outcome.states)
        return outcome, False

    def _tell(self, *, away: bool) -> None:
        if away != self._told_away:
            self._told_away = away
            self._metrics.degraded.set(away)

    def _require_known(self, asked: _Asked, admitted: Admitted) -> None:
        lost = self._replica.known.check(admitted.births)
        if not lost or asked.toll.snapshot.org.on_store_outage == "allow":
            return
        self._count(LEDGER_UNAVAILABLE, asked.toll)
        self._withdraw(asked)
        raise NotCounted(f"Redis has lost the ledger of {', '.join(lost)}")

    def _withdraw(self, asked: _Asked) -> None:
        # Redis may have made the reservation all the same, in some slots, or will, too late for us.
        slots = tuple(part.slot for part in asked.claim.asked)
        self._give_back(Withdrawal(slots, reservation_id=asked.claim.reservation_id))

    def _reserved(self, asked: _Asked, admitted: Admitted, *, degraded: bool) -> Reservation:
        self._count(ALLOWED, asked.toll)
        claimed = asked.claim
        headers = [*rate_limit_headers(admitted.states), *(_DEGRADED if degraded else ())]
        return Reservation(
            claimed.reservation_id,
            asked.toll.slot_names,
            asked.bound.usage,
            claimed.cost,
            headers,
            degraded,
        )

    def _refused(self, asked: _Asked, refused: Refused, *, degraded: bool) -> Limited:
        self._count(refused.kind.value, asked.toll)
        if refused.unreturned:
            self._give_back(refused.unreturned)
        if degraded:
            self._withdraw(asked)
        snapshot, key = asked.toll.snapshot, asked.toll.key
        of_team = refused.slot.kind == "team"
        owner = snapshot.teams[key.team].owner if of_team else snapshot.org.owner
        told = refusal(refused, asked.claim.tokens, asked.claim.cost, owner)
        told.headers.extend(_DEGRADED if degraded else ())
        return Limited(told, scope_in_words(refused), refused.limit, refused.used)

    def _not_covered(self, uncovered: NotCovered, toll: Toll) -> Limited:
        self._count(PARAMETER_NOT_ALLOWED, toll)
        told = parameter_refusal(uncovered.message, uncovered.parameter)
        return Limited(told, uncovered.scope.where, 0, 0)

    def _uncountable(self, toll: Toll) -> Limited:
        self._count(PARAMETER_NOT_ALLOWED, toll)
        told = parameter_refusal(_UNCOUNTABLE, "max_completion_tokens")
        return Limited(told, f"model {toll.alias.name}", 0, 0)

    def _count(self, decision: str, toll: Toll) -> None:
        self._metrics.admissions[decision, toll.key.team, toll.alias.name].inc()
