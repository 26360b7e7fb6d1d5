"""Providers' clusters: where an attempt goes, how it connects, and when a provider is passed over.

Each provider has two, with the same filters (`attempt`); the pool's also note each answer's status:

- `provider.NAME` is for aliases that have nowhere else to go, and for the last attempt of those
  that have. It is never passed over: the caller gets the provider's own 429, not ours.
- `provider.NAME.pool` is for the attempts before the last. After `cooldown_after` failures in a row
  at one address (429, 5xx, no connection) Envoy ejects that address for `cooldown_seconds`. Once
  none is left it takes the second priority, where nobody listens: a refused connection is retried
  with the next deployment at once, while a cluster without a healthy host would answer 503, which
  is not.

One cluster cannot do both. Seen on Envoy 1.40: with `lb_subset_config` it can, by the route's
metadata, but then an alias whose deployments all cool down has no attempt left that is sent. The
two do not share what they count: neither failures nor connections.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterCommonLbConfig,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
    OutlierDetection,
    UpstreamConnectionOptions,
)
from envoy_data_plane.envoy.config.common.matcher.v3 import (
    HttpHeadersMatch,
    MatchPredicate,
)
from envoy_data_plane.envoy.config.core.v3 import (
    Http1ProtocolOptions,
    TcpKeepalive,
    TransportSocket,
)
from envoy_data_plane.envoy.config.core.v3 import (
    HttpProtocolOptions as CommonHttpProtocolOptions,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    ClusterLoadAssignmentPolicy,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    CommonTlsContextCombinedCertificateValidationContext,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
    HttpProtocolOptionsOutlierDetection,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher, StringMatcher
from envoy_data_plane.google.protobuf import Any

from tollhouse.policy.compiled import Provider
from tollhouse.rendering import attempt, messages
from tollhouse.rendering.settings import Address

SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
# Load balancers close a connection that idles for a minute (AWS's ALB does); who closes first does
# not lose a request to it.
_IDLE_CONNECTION = timedelta(seconds=55)
# Port 1 of loopback: privileged, and refused at once.
_NOBODY = Address("127.0.0.1", 1)


def cluster_name(provider: str) -> str:
    """The cluster that is always tried."""
    return f"provider.{provider}"


def pool_name(provider: str) -> str:
    """The cluster that is passed over during a cooldown."""
    return f"provider.{provider}.pool"


def ca_name(provider: str) -> str:
    """The secret that is the CA of a provider; no provider's name begins so."""
    return f"_ca.{provider}"


def provider_clusters(provider: Provider, base_url: str, directory: Path) -> list[Cluster]:
    """Both clusters; `base_url` is the provider's own, or the simulator's."""
    pool = _cluster(provider, base_url, directory, pool_name(provider.name))
    assert pool.load_assignment is not None  # noqa: S101 - set below
    pool.load_assignment = _with_nobody(pool.load_assignment)
    # By default Envoy tells its workers of a second change of health within a second later on, and
    # a provider that fails soon after its return would be asked until then.
    pool.common_lb_config = ClusterCommonLbConfig(update_merge_window=timedelta(0))
    if provider.cooldown_seconds:
        pool.outlier_detection = _cooldown(provider)
    return [_cluster(provider, base_url, directory, cluster_name(provider.name)), pool]


def _cluster(provider: Provider, base_url: str, directory: Path, name: str) -> Cluster:
    where = _endpoint(base_url)
    is_tls = urlsplit(base_url).scheme == "https"
    is_pool = name == pool_name(provider.name)
    filters = attempt.filters(provider, base_url, directory, more_may_come=is_pool)
    return Cluster(
        name=name,
        # Metrics split a name at its dots: this one is a label's value, whole.
        alt_stat_name=name.replace(".", "_"),
        type=ClusterDiscoveryType.STRICT_DNS if where.is_name else ClusterDiscoveryType.STATIC,
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=timedelta(seconds=provider.connect_timeout_seconds),
        per_connection_buffer_limit_bytes=1 << 20,
        circuit_breakers=_breakers(provider),
        load_assignment=messages.load_assignment(name, where),
        transport_socket=_tls(provider, where.host, directory) if is_tls else None,
        # A firewall forgets a quiet connection; a reasoning model is quiet for minutes.
        upstream_connection_options=UpstreamConnectionOptions(
            tcp_keepalive=TcpKeepalive(keepalive_time=60, keepalive_interval=15, keepalive_probes=4)
        ),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": Any.pack(_protocol(filters))
        },
    )


def _endpoint(base_url: str) -> Address:
    url = urlsplit(base_url)
    return Address(host=url.hostname or "", port=url.port or (443 if url.scheme == "https" else 80))


def _protocol(filters: list[HttpFilter]) -> HttpProtocolOptions:
    status = HeaderMatcher(
        name=":status", string_match=StringMatcher(safe_regex=RegexMatcher(regex="429|5.."))
    )
    failed = MatchPredicate(http_response_headers_match=HttpHeadersMatch(headers=[status]))
    return HttpProtocolOptions(
        common_http_protocol_options=CommonHttpProtocolOptions(idle_timeout=_IDLE_CONNECTION),
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=Http1ProtocolOptions()
        ),
        outlier_detection=HttpProtocolOptionsOutlierDetection(error_matcher=failed),
        http_filters=filters,
    )


def _tls(provider: Provider, host: str, directory: Path) -> TransportSocket:
    """The certificate must be for the provider's name, and from the CA that is trusted for it."""
    name = provider.server_name or host
    if provider.ca_file is None:
        common = CommonTlsContext(validation_context=messages.verified_by(SYSTEM_CA, name))
    else:
        secret = ca_name(provider.name)
        common = CommonTlsContext(
            combined_validation_context=CommonTlsContextCombinedCertificateValidationContext(
                default_validation_context=messages.named(name),
                validation_context_sds_secret_config=messages.sds(
                    secret, directory / "secrets" / f"{secret}.json"
                ),
            )
        )
    return messages.upstream_tls(UpstreamTlsContext(sni=name, common_tls_context=common))


def _breakers(provider: Provider) -> CircuitBreakers:
    # Envoy's defaults (1,024 requests, 3 retries) would refuse calls that the policy admits; what
    # bounds the calls is the ledger, or the policy.
    most = 1_000_000
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_connections=provider.max_connections or most,
                max_pending_requests=provider.max_pending_requests or most,
                max_requests=most,
                max_retries=most,
            )
        ]
    )


def _cooldown(provider: Provider) -> OutlierDetection:
    cooldown = timedelta(seconds=provider.cooldown_seconds)
    return OutlierDetection(
        consecutive_5xx=provider.cooldown_after,
        enforcing_consecutive_5xx=100,
        enforcing_success_rate=0,
        interval=timedelta(seconds=min(1.0, provider.cooldown_seconds)),
        base_ejection_time=cooldown,
        # Else each cooldown would be longer than the one before.
        max_ejection_time=cooldown,
        # All addresses but one may be ejected. The last is the one where nobody listens.
        max_ejection_percent=99,
        always_eject_one_host=True,
    )


def _with_nobody(assignment: ClusterLoadAssignment) -> ClusterLoadAssignment:
    """With a second priority, for when the first has no healthy address."""
    [real] = assignment.endpoints
    [nobody] = messages.load_assignment(assignment.cluster_name, _NOBODY).endpoints
    return ClusterLoadAssignment(
        cluster_name=assignment.cluster_name,
        endpoints=[real, LocalityLbEndpoints(lb_endpoints=nobody.lb_endpoints, priority=1)],
        # One healthy address takes all: by default, ejecting some of several would send part of
        # the calls to nobody.
        policy=ClusterLoadAssignmentPolicy(overprovisioning_factor=1_000_000),
    )
