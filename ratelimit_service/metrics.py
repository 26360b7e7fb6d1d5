"""What ratelimit_service shows to Prometheus.

Token counts carry OpenTelemetry's GenAI attribute names, written as Prometheus writes them.
Labels hold names from the policy only, so their number is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ratelimit_service.settlement import Charge
from tollhouse.labelled import Labelled

_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0)
# A small model begins within a quarter of a second, one that reasons may take a minute.
_FIRST_BYTE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.admissions = Labelled(
            Counter(
                "tollhouse_admissions",
                "Admission decisions, by code.",
                ["decision", "team", "alias"],
                registry=registry,
            ).labels
        )
        self.admission_seconds = Histogram(
            "tollhouse_admission_duration_seconds",
            "Time to admit or refuse one call, Redis included.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.settlements = Labelled(
            Counter(
                "tollhouse_settlements",
                "Settled requests, by what the ledger did and where usage was learned.",
                ["outcome", "usage_source"],
                registry=registry,
            ).labels
        )
        self.settlement_seconds = Histogram(
            "tollhouse_settlement_duration_seconds",
            "Time to settle one batch of access-log entries, retries included.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self.settlements_waiting = Gauge(
            "tollhouse_settlements_waiting",
            "Entries received and not yet in the ledger.",
            registry=registry,
        )
        self.tokens = Labelled(
            Counter(
                "gen_ai_client_token_usage",
                "Tokens charged.",
                ["team", "alias", "gen_ai_token_type"],
                registry=registry,
            ).labels
        )
        self.cost = Labelled(
            Counter(
                "tollhouse_cost_usd", "Cost charged, in USD.", ["team", "alias"], registry=registry
            ).labels
        )
        self.first_byte_seconds = Labelled(
            Histogram(
                "tollhouse_first_byte_seconds",
                "Time from the start of a request to its provider's first byte.",
                ["provider", "alias"],
                buckets=_FIRST_BYTE_BUCKETS,
                registry=registry,
            ).labels
        )
        self.redis_errors = Counter(
            "tollhouse_redis_errors",
            "Calls to Redis that failed or were too late.",
            ["operation"],
            registry=registry,
        )
        self.degraded = Gauge(
            "tollhouse_ledger_degraded",
            "1 while Redis cannot be used (what happens then is on_store_outage in the policy).",
            registry=registry,
        )
        self.slots_lost = Gauge(
            "tollhouse_ledger_lost_slots",
            "Slots that Redis came back without (until `tollhouse ledger accept`).",
            registry=registry,
        )
        for operation in ("admit", "settle", "sweep", "ping", "births"):
            self.redis_errors.labels(operation)

    def charged(self, team: str, alias: str, charges: Iterable[Charge]) -> None:
        """What some requests of a team were charged."""
        cost = 0
        input_tokens = output_tokens = cached_input_tokens = 0
        for each in charges:
            usage = each.usage
            cost += each.cost
            input_tokens += usage.input_tokens
            output_tokens += usage.output_tokens
            cached_input_tokens += usage.cached_input_tokens
        self.cost[team, alias].inc(cost / 1e9)
        self.tokens[team, alias, "input"].inc(input_tokens)
        self.tokens[team, alias, "output"].inc(output_tokens)
        self.tokens[team, alias, "input_cached"].inc(cached_input_tokens)
