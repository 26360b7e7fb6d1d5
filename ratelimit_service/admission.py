"""Admits a call or refuses it: policy, claim, ledger, and what an outage means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from ratelimit_service.answers import Headers, Refusal, rate_limit_headers, refusal, scope_in_words
from ratelimit_service.claims import claim
from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.types import Claim, Refused
from ratelimit_service.metrics import Metrics
from ratelimit_service.reservation import RequestSize
from ratelimit_service.settlement import NONE, Entry, format_slot
from tollhouse.decisions import ALLOWED
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Key, Snapshot
from tollhouse.policy.watch import PolicyHolder

log = logging.getLogger("ratelimit_service.admission")


class NotCounted(Exception):
    """The call can be neither admitted nor refused now; Envoy answers 503 ledger_unavailable."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """An admitted call. `degraded`: the store was away, and the policy says to admit then."""

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

    snapshot: Snapshot
    key: Key
    alias: Alias
    claim: Claim
    bound: Usage

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(format_slot(slot.slot) for slot in self.claim.slots)


class Admission:
    """One per service. `holder` is read at every call: a reload needs no word to this class."""

    def __init__(
        self,
        holder: PolicyHolder,
        ledger: Ledger,
        metrics: Metrics,
        give_back: Callable[[list[Entry]], None],
    ) -> None:
        self._holder = holder
        self._ledger = ledger
        self._metrics = metrics
        self._give_back = give_back

    async def admit(self, key_id: str, alias_name: str, size: RequestSize) -> Reservation | Limited:
        """Raises NotCounted."""
        started = time.perf_counter()
        snapshot, key, alias = await self._grant(key_id, alias_name)
        asked = _Asked(
            snapshot, key, alias, *claim(snapshot, key, alias, size, new_reservation_id())
        )
        try:
            outcome = await self._ledger.admit(asked.claim)
        except LedgerUnavailable as error:
            return self._outage(asked, error)
        except LedgerError as error:
            raise NotCounted(str(error)) from error
        finally:
            self._metrics.admission_seconds.observe(time.perf_counter() - started)
        self._metrics.degraded.set(0)
        if isinstance(outcome, Refused):
            return self._refused(asked, outcome)
        return self._reserved(asked, rate_limit_headers(outcome.states))

    async def _grant(self, key_id: str, alias_name: str) -> tuple[Snapshot, Key, Alias]:
        found = self._find(key_id, alias_name)
        if found is None:
            # authz_service saw an edit a moment before we did: look now rather than refuse.
            await asyncio.to_thread(self._holder.reload)
            found = self._find(key_id, alias_name)
        if found is None:
            raise NotCounted("authz_service and ratelimit_service have different policies")
        return found

    def _find(self, key_id: str, alias_name: str) -> tuple[Snapshot, Key, Alias] | None:
        snapshot = self._holder.current
        key, alias = snapshot.keys.get(key_id), snapshot.aliases.get(alias_name)
        return (snapshot, key, alias) if key and alias else None

    def _outage(self, asked: _Asked, error: LedgerUnavailable) -> Reservation:
        self._metrics.redis_errors.labels("admit").inc()
        self._metrics.degraded.set(1)
        if asked.snapshot.org.on_store_outage == "deny":
            self._count("ledger_unavailable", asked)
            # Redis may have made the reservation all the same, only too late for us.
            self._give_back([_never_sent(asked)])
            raise NotCounted(str(error)) from error
        return self._reserved(asked, [("x-tollhouse-degraded", "ledger")], degraded=True)

    def _reserved(self, asked: _Asked, headers: Headers, *, degraded: bool = False) -> Reservation:
        self._count(ALLOWED, asked)
        claimed = asked.claim
        return Reservation(
            claimed.reservation_id, asked.slots, asked.bound, claimed.cost, headers, degraded
        )

    def _refused(self, asked: _Asked, refused: Refused) -> Limited:
        self._count(refused.kind.value, asked)
        snapshot = asked.snapshot
        of_team = refused.slot.kind == "team"
        owner = snapshot.teams[asked.key.team].owner if of_team else snapshot.org.owner
        told = refusal(refused, asked.claim.tokens, asked.claim.cost, owner)
        return Limited(told, scope_in_words(refused), refused.limit, refused.used)

    def _count(self, decision: str, asked: _Asked) -> None:
        self._metrics.admissions.labels(decision, asked.key.team, asked.alias.name).inc()


def _never_sent(asked: _Asked) -> Entry:
    """The end of a request that went no further: whatever was reserved for it is released."""
    return Entry(
        reservation_id=asked.claim.reservation_id,
        slots=asked.slots,
        key_id=asked.key.id,
        team=asked.key.team,
        project=asked.key.project,
        alias=asked.alias.name,
        usage=Usage(0, 0),
        usage_source=NONE,
        price=None,
        reached_provider=False,
    )
