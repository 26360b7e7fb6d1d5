"""A service's clock, shown to Prometheus, who has one of its own to compare it with."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Gauge


class ClockMetrics:
    """Keys expire by this clock."""

    def __init__(self, registry: CollectorRegistry) -> None:
        Gauge(
            "tollhouse_time_seconds",
            "The clock of this process when it was scraped.",
            registry=registry,
        ).set_function(time.time)
