"""Routes: one per provider, chosen by a header that only authz_service can set."""

from __future__ import annotations

from datetime import timedelta

from envoy_data_plane.envoy.config.core.v3 import DataSource, HeaderValue, HeaderValueOption
from envoy_data_plane.envoy.config.route.v3 import (
    DirectResponseAction,
    FilterConfig,
    HeaderMatcher,
    RateLimit,
    RateLimitAction,
    RateLimitActionMetaData,
    RateLimitActionRequestHeaders,
    RetryPolicy,
    Route,
    RouteAction,
    RouteConfiguration,
    RouteMatch,
    VirtualHost,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.metadata.v3 import MetadataKey, MetadataKeyPathSegment
from envoy_data_plane.google.protobuf import Any

from tollhouse import contract
from tollhouse.policy.compiled import Org, Provider
from tollhouse.rendering.management import CLUSTER

EXT_AUTHZ, RATE_LIMIT = "envoy.filters.http.ext_authz", "envoy.filters.http.ratelimit"

# From Envoy's timeout to the settlement of what was cut off; the lease is at least 10.
_BEFORE_THE_LEASE_SECONDS = 5


def _descriptor(namespace: str, name: str) -> RateLimitAction:
    # skip_if_absent keeps a request with a missing fact as a shorter descriptor, which
    # ratelimit_service refuses by name; without it Envoy would drop the whole descriptor
    # and admit the request uncounted.
    path = MetadataKeyPathSegment(key=name)
    return RateLimitAction(
        metadata=RateLimitActionMetaData(
            descriptor_key=name,
            metadata_key=MetadataKey(key=namespace, path=[path]),
            skip_if_absent=True,
        )
    )


def _request_id() -> RateLimitAction:
    return RateLimitAction(
        request_headers=RateLimitActionRequestHeaders(
            header_name=contract.REQUEST_ID_HEADER,
            descriptor_key=contract.REQUEST_ID_DESCRIPTOR,
            skip_if_absent=True,
        )
    )


def admission_descriptor() -> RateLimit:
    """What ratelimit_service learns of a request: who, which alias, how large it can get, and
    Envoy's id of it, by which a reservation is found whose answer never reached Envoy."""
    grant = [_descriptor(contract.GRANT, name) for name in contract.GRANT_DESCRIPTORS]
    size = _descriptor(contract.REQUEST, contract.SIZE)
    return RateLimit(actions=[*grant, size, _request_id()])


def timeout_seconds(org: Org) -> int:
    """How long a call may take: beyond its lease it would hold no place and no money any more."""
    return org.reservation_lease_seconds - _BEFORE_THE_LEASE_SECONDS


def _to_provider(provider: Provider, org: Org) -> Route:
    return Route(
        name=f"provider.{provider.name}",
        match=RouteMatch(
            prefix="/",
            headers=[
                HeaderMatcher(
                    name=contract.PROVIDER_HEADER, string_match=StringMatcher(exact=provider.name)
                )
            ],
        ),
        route=RouteAction(
            cluster=f"provider.{provider.name}",
            timeout=timedelta(seconds=timeout_seconds(org)),
            idle_timeout=timedelta(seconds=provider.idle_timeout_seconds),
            # Only what certainly never reached the provider is tried again: a second attempt
            # of anything else could be billed twice.
            retry_policy=RetryPolicy(retry_on="connect-failure,refused-stream", num_retries=2),
        ),
    )


def _to_console() -> Route:
    """Neither a key nor a limit is asked for: the console asks who it is itself."""
    off = Any.pack(FilterConfig(disabled=True))
    address = HeaderValue(
        key=contract.CLIENT_ADDRESS_HEADER, value="%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"
    )
    return Route(
        name="manage",
        match=RouteMatch(path_separated_prefix=contract.MANAGE_PATH),
        route=RouteAction(cluster=CLUSTER, timeout=timedelta(seconds=60)),
        typed_per_filter_config=dict.fromkeys((EXT_AUTHZ, RATE_LIMIT), off),
        request_headers_to_add=[HeaderValueOption(header=address)],
    )


def _no_provider() -> Route:
    # ext_authz does not run at all when no route matches, so this one always must.
    return Route(
        name="no_provider",
        match=RouteMatch(prefix="/"),
        direct_response=DirectResponseAction(
            status=503, body=DataSource(inline_string="no route to this provider yet")
        ),
    )


def route_configuration(providers: list[Provider], org: Org, *, manage: bool) -> RouteConfiguration:
    """That of the console if there is one (`manage`), every provider's, then the catch-all."""
    host = VirtualHost(
        name="tollhouse",
        domains=["*"],
        routes=[
            *([_to_console()] if manage else []),
            *(_to_provider(provider, org) for provider in providers),
            _no_provider(),
        ],
        rate_limits=[admission_descriptor()],
    )
    return RouteConfiguration(name="tollhouse", virtual_hosts=[host])
