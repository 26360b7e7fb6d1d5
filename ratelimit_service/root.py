"""Composition root of ratelimit_service: policy, ledger, admission, settlement, hosting."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import CollectorRegistry

from ratelimit_service.admission import Admission
from ratelimit_service.housekeeping import Housekeeping
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.losses import Losses
from ratelimit_service.metrics import Metrics
from ratelimit_service.refusals import RefusalCounter
from ratelimit_service.replica import open_replica
from ratelimit_service.service import register
from ratelimit_service.settler import Settler, running
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.serving.background import InBackground
from tollhouse.serving.clock import ClockMetrics
from tollhouse.serving.host import serve
from tollhouse.serving.options import Options
from tollhouse.serving.policy import PolicyMetrics
from tollhouse.serving.readiness import Readiness
from tollhouse.serving.source import open_source


async def run(chosen: Options, redis_url: str, state_dir: Path | None) -> None:
    """Raises PolicyError when there is no good policy to start from; SourceError, StateError,
    ServiceError."""
    registry = CollectorRegistry()
    metrics, policy_metrics = Metrics(registry), PolicyMetrics(registry)
    ClockMetrics(registry)
    holder = PolicyHolder(InBackground(open_source(chosen.source, registry)))
    policy_metrics.loaded(holder.current)
    ledger = Ledger(open_redis(redis_url))
    readiness = Readiness()
    replica = open_replica(state_dir)
    settler = Settler(holder, ledger, metrics, replica)
    refusals = RefusalCounter(holder, ledger)
    admission = Admission(holder, ledger, metrics, replica, lambda lost: settler.take([lost]))
    losses = Losses(holder, ledger, metrics, readiness, replica.known)
    keeping = Housekeeping(holder, ledger, metrics, readiness, (refusals.flush, losses.look))
    stop = asyncio.Event()
    await keeping.probe()
    beside = asyncio.gather(
        watch(holder, stop, on_success=policy_metrics.loaded, on_failure=policy_metrics.failed),
        keeping.run(stop),
    )
    try:
        async with running(settler):
            await serve(
                chosen,
                lambda server: register(server, admission, settler, refusals, metrics),
                registry,
                readiness,
                policy_metrics.document,
            )
    finally:
        stop.set()
        await beside
        await ledger.close()
        replica.close()
