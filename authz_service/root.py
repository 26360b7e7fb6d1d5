"""Composition root of authz_service: policy, decision, transport, hosting."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from authz_service.metrics import Metrics
from authz_service.service import AuthzService
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.serving.background import InBackground
from tollhouse.serving.clock import ClockMetrics
from tollhouse.serving.host import serve
from tollhouse.serving.options import Options
from tollhouse.serving.policy import PolicyMetrics
from tollhouse.serving.readiness import Readiness
from tollhouse.serving.source import open_source


async def run(chosen: Options) -> None:
    """Raises PolicyError when there is no good policy to start from; SourceError, ServiceError."""
    registry = CollectorRegistry()
    policy_metrics = PolicyMetrics(registry)
    ClockMetrics(registry)
    holder = PolicyHolder(InBackground(open_source(chosen.source, registry)))
    policy_metrics.loaded(holder.current)
    service = AuthzService(holder.current, Metrics(registry))

    def adopt(snapshot: Snapshot) -> None:
        service.adopt(snapshot)
        policy_metrics.loaded(snapshot)

    stop = asyncio.Event()
    watching = asyncio.create_task(
        watch(holder, stop, on_success=adopt, on_failure=policy_metrics.failed)
    )
    try:
        await serve(chosen, service.register, registry, Readiness(), policy_metrics.document)
    finally:
        stop.set()
        await watching
