"""What alerts show to Prometheus. No label holds a name of a scope."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from console.alerts.alert import KINDS


class AlertMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "tollhouse_alerts_sent",
            "Alerts that the webhook took.",
            ["kind"],
            registry=registry,
        )
        self.failed = Counter(
            "tollhouse_alerts_failed",
            "Deliveries of alerts that the webhook did not take; each is tried again.",
            ["kind"],
            registry=registry,
        )
        self.pending = Gauge(
            "tollhouse_alerts_pending",
            "Alerts that are true now and not told yet, as this replica knows.",
            registry=registry,
        )
        self.last_check = Gauge(
            "tollhouse_alerts_last_check_timestamp_seconds",
            "When budgets and spikes were last looked at, 0 if never or if alerts are off.",
            registry=registry,
        )
        self.check_failures = Counter(
            "tollhouse_alerts_check_failures",
            "Checks that could not be made, most often because Redis was away.",
            registry=registry,
        )
        for kind in KINDS:
            self.sent.labels(kind)
            self.failed.labels(kind)
