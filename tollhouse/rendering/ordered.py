"""Routes of calls that have several places to go to: Envoy asks one deployment after the other.

The order is authz_service's, per request, in its metadata: the priority_group cluster specifier
reads it, and picks the next group for each retry. Every attempt goes to a provider's own cluster,
so that it has that provider's credential, TLS and limits, and no other's.

As JSON: envoy-data-plane 2.0 was generated before Envoy had this specifier and
`refresh_cluster_on_retry`.
"""

from __future__ import annotations

from tollhouse import contract
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.ordering import Patience, has_several, patience_of
from tollhouse.rendering.messages import Json

_SPECIFIER = (
    "type.googleapis.com/envoy.extensions.router.cluster_specifiers.priority_group.v3"
    ".PriorityGroupClusterSpecifier"
)
# Too many requests, the server's own faults, and Anthropic's 529 "overloaded". A 4xx of another
# kind would be the same at the next provider, or is about our own credential, which somebody must
# mend.
_RETRIABLE = (408, 429, 500, 502, 503, 504, 529)


def routes(snapshot: Snapshot, lease_timeout_seconds: int) -> list[Json]:
    """One for each patience that an alias with several places to go to has."""
    several = (alias for alias in snapshot.aliases.values() if has_several(alias))
    found = sorted({patience_of(snapshot, alias) for alias in several}, key=lambda it: it.route)
    never_asked = f"provider.{min(snapshot.providers)}"
    return [_route(patience, lease_timeout_seconds, never_asked) for patience in found]


def _route(patience: Patience, timeout_seconds: int, never_asked: str) -> Json:
    chosen = {"exact": patience.route}
    return {
        "name": f"ordered.{patience.route.removeprefix('*')}",
        "match": {
            "prefix": "/",
            "headers": [{"name": contract.PROVIDER_HEADER, "string_match": chosen}],
        },
        "route": {
            "inline_cluster_specifier_plugin": _in_the_order_of_the_grant(never_asked),
            "timeout": f"{timeout_seconds}s",
            "idle_timeout": f"{patience.idle:g}s",
            "retry_policy": {
                # No deployment is asked twice, and what one has been asked in vain may be billed:
                # the policy that names a second one accepts that.
                "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
                "retriable_status_codes": list(_RETRIABLE),
                # authz_service says for each call how many there are (x-envoy-max-retries).
                "num_retries": 0,
                # Envoy ignores it once an answer has begun: a long one is no failure.
                "per_try_timeout": f"{patience.first_byte:g}s",
                "refresh_cluster_on_retry": True,
                "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
            },
        },
    }


def _in_the_order_of_the_grant(never_asked: str) -> Json:
    return {
        "extension": {
            "name": "envoy.router.cluster_specifier_plugin.priority_group",
            "typed_config": {
                "@type": _SPECIFIER,
                "override_metadata_namespace": contract.GRANT,
                # Required, and overridden by every grant.
                "priority_groups": [
                    {"name": "none", "clusters": [{"cluster_name": never_asked, "weight": 1}]}
                ],
            },
        }
    }
