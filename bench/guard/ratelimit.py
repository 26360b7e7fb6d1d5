"""ratelimit_service from a RateLimitRequest's bytes to the answer's, and from a log entry's bytes
to the ledger's instruction: all but the trip to the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from prometheus_client import CollectorRegistry

from bench.guard import recorded
from bench.guard.references import PYTHON
from bench.guard.work import Work, done, repeated
from ratelimit_service import transport
from ratelimit_service.admission import Admission
from ratelimit_service.entries import entry_from
from ratelimit_service.ledger import wire
from ratelimit_service.ledger.joining import run_joined
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.scripts import ScriptCall
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Claim, Refused, Settlement
from ratelimit_service.metrics import Metrics
from ratelimit_service.replica import Replica
from ratelimit_service.service import RateLimitService
from ratelimit_service.settlement import Entry, charge, settlement
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder

_PREFIX = "th:"
_PATIENT_SECONDS = 60.0


def _decided(claim: Claim, replies: list[object]) -> Admitted | Refused:
    outcome, _ = wire.read_admission(claim, replies)
    assert outcome is not None  # a fresh id has not ended
    return outcome


class Repeating:
    """A ledger whose store answers every claim as it answered the first: for what is done before
    and after the trip to it."""

    def __init__(self, claim: Claim, replies: list[object]) -> None:
        self.claim = claim
        self.replies = replies

    async def admit(self, claim: Claim) -> Admitted | Refused:
        """As `Ledger.admit`."""
        arguments(claim)
        return _decided(claim, self.replies)


class _Asking:
    """Asks the store, and keeps what was asked and what it answered."""

    def __init__(self, redis_url: str) -> None:
        self._client = open_redis(redis_url, timeout_seconds=_PATIENT_SECONDS)
        self.kept: Repeating | None = None

    async def admit(self, claim: Claim) -> Admitted | Refused:
        replies = await run_joined(self._client, arguments(claim))
        self.kept = Repeating(claim, replies)
        await self._client.aclose()
        return _decided(claim, replies)


def admission(holder: PolicyHolder, ledger: object) -> Admission:
    """The service's own, before any ledger."""
    metrics = Metrics(CollectorRegistry())
    return Admission(holder, cast(Ledger, ledger), metrics, Replica(), lambda _: None)


def arguments(claim: Claim) -> list[ScriptCall]:
    """What the store is asked for a claim."""
    return wire.admit_calls(_PREFIX, claim, "", int(time.time()))


def repeating(holder: PolicyHolder, redis_url: str) -> Repeating:
    """What the store at this address really answers to the recorded call."""
    asking = _Asking(redis_url)
    call = transport.call_from(recorded.rate_limit())
    asyncio.run(admission(holder, asking).admit(call))
    assert asking.kept is not None
    return asking.kept


def settlement_of(logged: bytes, holder: PolicyHolder) -> Settlement:
    """The ledger's instruction for the log entry with these bytes."""
    entry = entry_from(HTTPAccessLogEntry.FromString(logged))
    assert isinstance(entry, Entry)
    return settlement(entry, charge(entry), holder.current.org)


def works(redis_url: str) -> list[Work]:
    """The store at this address is asked once."""
    holder = PolicyHolder(PolicyDirectory(recorded.POLICIES))
    ledger = repeating(holder, redis_url)
    claim, replies = ledger.claim, ledger.replies
    asked = recorded.rate_limit().SerializeToString()
    ended = recorded.access_log().SerializeToString()
    settled = settlement_of(ended, holder)
    service = RateLimitService(admission(holder, ledger))
    return [
        _work("an admission", lambda: done(service.admit(asked))),
        _work("arguments of an admission", lambda: arguments(claim)),
        _work("replies to an admission", lambda: wire.read_admission(claim, replies)),
        _work("a settlement", lambda: wire.settle_calls(_PREFIX, settlement_of(ended, holder), "")),
        _work("arguments of a settlement", lambda: wire.settle_calls(_PREFIX, settled, "")),
    ]


def _work(what: str, operation: Callable[[], object]) -> Work:
    return Work(f"ratelimit: {what}", PYTHON, 50, repeated(operation))
