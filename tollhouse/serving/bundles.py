"""A replica's policy from bundles: its parts put together, and its metrics.

Redis is reached from here, by threads of their own; nothing that decides a call knows of it.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from tollhouse.bundles.cache import BundleCache
from tollhouse.bundles.errors import KeyFileError
from tollhouse.bundles.signing import PublicKey
from tollhouse.bundles.source import READ_SECONDS, PolicyBundles
from tollhouse.bundles.store import REDIS_URL, BundleStore, environment_url
from tollhouse.serving.source import SourceError, SourceOptions


class BundleMetrics:
    """What there is to know of a replica that follows bundles."""

    def __init__(self, registry: CollectorRegistry, bundles: PolicyBundles) -> None:
        Gauge(
            "tollhouse_policy_serial",
            "The serial of the policy bundle in force.",
            registry=registry,
        ).set_function(lambda: bundles.serial)
        Gauge(
            "tollhouse_policy_source_up",
            "1 while the Redis that carries policy bundles answers.",
            registry=registry,
        ).set_function(lambda: bundles.up)
        Gauge(
            "tollhouse_policy_source_last_contact_timestamp_seconds",
            "When it last answered; 0 if it never did.",
            registry=registry,
        ).set_function(lambda: bundles.last_contact)
        Gauge(
            "tollhouse_policy_cached",
            "1 while the policy bundle in force is also on this replica's disk.",
            registry=registry,
        ).set_function(lambda: bundles.is_cached)


def open_bundles(options: SourceOptions, registry: CollectorRegistry | None) -> PolicyBundles:
    """Raises SourceError."""
    if options.demo_keys:
        raise SourceError("--demo-keys is for --policy directory: in bundles they are blocked")
    url = options.redis_url or environment_url()
    if not url:
        raise SourceError(f"--policy redis needs --policy-redis-url, or {REDIS_URL}")
    if options.cache is None:
        raise SourceError(
            "--policy redis needs --policy-cache FILE: the last good policy is kept there, to "
            "start from while Redis is away. Each process needs its own, and it must outlive it."
        )
    if not options.public_keys:
        raise SourceError(
            "--policy redis needs --policy-public-key FILE: tollhouse policy keygen writes it"
        )
    try:
        keys = [PublicKey.read(path) for path in options.public_keys]
        store = BundleStore(url, timeout_seconds=READ_SECONDS)
    except KeyFileError as error:
        raise SourceError(f"--policy-public-key: {error}") from None
    except ValueError as error:
        raise SourceError(f"--policy-redis-url: {error}") from None
    bundles = PolicyBundles(store, BundleCache(options.cache), keys)
    if registry is not None:
        BundleMetrics(registry, bundles)
    return bundles
