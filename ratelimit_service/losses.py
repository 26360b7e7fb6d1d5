"""Watches that the store still has the ledger that this service knows."""

from __future__ import annotations

import logging

from ratelimit_service.claims import every_slot
from ratelimit_service.known import KnownSlots
from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.metrics import Metrics
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("ratelimit_service.losses")

_LOST = (
    "Redis came back without the ledger, so no budget is known: restore its data, or run "
    "`tollhouse ledger rebuild`, then `tollhouse ledger accept`"
)


class Losses:
    """What was lost, told in readiness, metrics and log; `known` is what admission goes by."""

    def __init__(
        self,
        holder: PolicyHolder,
        ledger: Ledger,
        metrics: Metrics,
        readiness: Readiness,
        known: KnownSlots,
    ) -> None:
        self._holder = holder
        self._ledger = ledger
        self._metrics = metrics
        self._readiness = readiness
        self._known = known
        self._told: list[str] = []

    async def look(self) -> None:
        """Compare every slot of the policy with what is known of it."""
        asked = every_slot(self._holder.current)
        try:
            self._known.check(await self._ledger.births(asked))
            if self._known.lost:
                self._known.accept(await self._ledger.accepted_until())
            self._known.save()
        except LedgerError:
            self._metrics.redis_errors.labels("births").inc()
        except OSError as error:
            log.error("the slots that are known cannot be written down: %s", error.strerror)
        self._tell(all_lost=len(self._known.lost) >= len(asked))

    def _tell(self, *, all_lost: bool) -> None:
        lost = self._known.lost
        self._metrics.slots_lost.set(len(lost))
        if lost != self._told:
            self._told = lost
            said = "Redis lost the ledger of these slots" if lost else "every slot is known again"
            log.error(said, extra={"fields": {"slots": lost}})
        # A cluster that lost one of its masters still serves the teams of the others.
        if all_lost and self._holder.current.org.on_store_outage == "deny":
            self._readiness.problem("ledger", _LOST)
        else:
            self._readiness.fine("ledger")
