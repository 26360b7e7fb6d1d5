"""What authz_service shows to Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from tollhouse.labelled import Labelled

_BUCKETS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)


class Metrics:
    """Labels hold names from the policy only, never what a client sent: their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.decisions = Labelled(
            Counter(
                "tollhouse_authz_decisions",
                "Decisions on keys, endpoints and aliases, by code.",
                ["decision", "team", "alias"],
                registry=registry,
            ).labels
        )
        self.would_deny = Labelled(
            Counter(
                "tollhouse_authz_would_deny",
                "Calls that were allowed, and that a rule in shadow mode would refuse.",
                ["team", "alias"],
                registry=registry,
            ).labels
        )
        self.seconds = Histogram(
            "tollhouse_authz_duration_seconds",
            "Time to decide one call, without gRPC.",
            buckets=_BUCKETS,
            registry=registry,
        )
