"""Composition root of ratelimit_service: policy, ledger, admission, settlement, hosting.

python -m ratelimit_service --redis-url redis://host --listen unix:/path
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import uvloop
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
from ratelimit_service.spool import StateError
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.serving import logs, options
from tollhouse.serving.background import InBackground
from tollhouse.serving.clock import ClockMetrics
from tollhouse.serving.host import ServiceError, serve
from tollhouse.serving.options import Options
from tollhouse.serving.policy import PolicyMetrics
from tollhouse.serving.readiness import Readiness
from tollhouse.serving.source import SourceError, open_source

REDIS_URL = "REDIS_URL"
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


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


def main() -> int:
    parse = options.parser("ratelimit_service", "Envoy rate limits and settlement, in Redis")
    parse.add_argument(
        "--redis-url",
        # Not shown as a default: an address may have a password in it.
        default=argparse.SUPPRESS,
        help=f"redis://, rediss:// or unix:// (default: the environment's {REDIS_URL}, or local)",
    )
    parse.add_argument(
        "--state-dir",
        type=Path,
        help="where entries wait that Redis does not take, and which ledger it had; "
        "a folder for each replica",
    )
    arguments = parse.parse_args()
    redis_url = getattr(arguments, "redis_url", os.environ.get(REDIS_URL, _LOCAL_REDIS))
    chosen = options.common(arguments)
    logs.configure(chosen.log_level)
    try:
        uvloop.run(run(chosen, redis_url, arguments.state_dir))
    except (PolicyError, ServiceError, SourceError, StateError) as error:
        print(f"ratelimit_service: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
