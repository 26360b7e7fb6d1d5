"""The way to the management console: its cluster, and the filter that verifies the company's JWTs.

The filter comes by ECDS, so that another identity provider needs no restart and cuts no stream.
It lets every request pass: one that carries no good JWT lacks the payload header, and the console
then asks for a token.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.cluster.v3 import (
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HttpUri,
    TransportSocket,
    TypedExtensionConfig,
    WatchedDirectory,
)
from envoy_data_plane.envoy.config.route.v3 import RouteMatch
from envoy_data_plane.envoy.extensions.filters.http.jwt_authn.v3 import (
    JwksAsyncFetch,
    JwtAuthentication,
    JwtHeader,
    JwtProvider,
    JwtRequirement,
    JwtRequirementOrList,
    RemoteJwks,
    RequirementRule,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    UpstreamTlsContext,
)
from envoy_data_plane.google.protobuf import Any, Empty

from tollhouse import contract
from tollhouse.policy.management import Management, SingleSignOn
from tollhouse.rendering import messages
from tollhouse.rendering.settings import Address, ServicesTls

CLUSTER = "console"
_JWKS_CLUSTER = "jwks"
_FILTER = "sign_on"
_PROVIDER = "company"


def console_cluster(where: Address, tls: ServicesTls | None) -> Cluster:
    """The cluster of the console's replicas."""
    return Cluster(
        name=CLUSTER,
        type=_discovery(where),
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=timedelta(seconds=1),
        load_assignment=messages.load_assignment(CLUSTER, where),
        transport_socket=messages.services_tls(tls, where.host, alpn="http/1.1")
        if tls and not where.is_unix
        else None,
    )


def jwks_cluster(sign_on: SingleSignOn, ca: Path) -> Cluster | None:
    """Where the keys are fetched that verify JWTs; None: they are in a file."""
    if sign_on.jwks.startswith("file:"):
        return None
    where = _address(sign_on.jwks)
    return Cluster(
        name=_JWKS_CLUSTER,
        type=_discovery(where),
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=timedelta(seconds=5),
        load_assignment=messages.load_assignment(_JWKS_CLUSTER, where),
        transport_socket=_tls(where.host, ca) if sign_on.jwks.startswith("https:") else None,
    )


def sign_on_filter(management: Management | None) -> TypedExtensionConfig:
    """Verifies JWTs where there is a single sign-on; elsewhere it does nothing."""
    sign_on = management.sign_on if management else None
    config = _jwt_authn(sign_on) if sign_on else JwtAuthentication()
    return TypedExtensionConfig(name=_FILTER, typed_config=Any.pack(config))


def _jwt_authn(sign_on: SingleSignOn) -> JwtAuthentication:
    provider = JwtProvider(
        issuer=sign_on.issuer,
        audiences=list(sign_on.audiences),
        require_expiration=True,
        from_headers=[JwtHeader(name="authorization", value_prefix="Bearer ")],
        from_cookies=[contract.SIGN_ON_COOKIE],
        forward_payload_header=contract.IDENTITY_HEADER,
        remote_jwks=_remote(sign_on),
        local_jwks=_local(sign_on),
    )
    # A management token is no JWT: what cannot be verified passes, without a payload.
    either = [
        JwtRequirement(provider_name=_PROVIDER),
        JwtRequirement(allow_missing_or_failed=Empty()),
    ]
    rule = RequirementRule(
        match=RouteMatch(path_separated_prefix=contract.MANAGE_PATH),
        requires=JwtRequirement(requires_any=JwtRequirementOrList(requirements=either)),
    )
    return JwtAuthentication(providers={_PROVIDER: provider}, rules=[rule])


def _local(sign_on: SingleSignOn) -> DataSource | None:
    if not sign_on.jwks.startswith("file:"):
        return None
    path = Path(sign_on.jwks.removeprefix("file:"))
    # Keys are rotated by renaming a new file into place.
    watched = WatchedDirectory(path=str(path.parent))
    return DataSource(filename=str(path), watched_directory=watched)


def _remote(sign_on: SingleSignOn) -> RemoteJwks | None:
    if sign_on.jwks.startswith("file:"):
        return None
    return RemoteJwks(
        http_uri=HttpUri(uri=sign_on.jwks, cluster=_JWKS_CLUSTER, timeout=timedelta(seconds=5)),
        cache_duration=timedelta(minutes=5),
        # Envoy starts, and calls of models go on, while the identity provider is away.
        async_fetch=JwksAsyncFetch(fast_listener=True),
    )


def _discovery(where: Address) -> ClusterDiscoveryType:
    return ClusterDiscoveryType.STRICT_DNS if where.is_name else ClusterDiscoveryType.STATIC


def _address(url: str) -> Address:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Address(host=parts.hostname or "", port=port)


def _tls(host: str, ca: Path) -> TransportSocket:
    common = CommonTlsContext(validation_context=messages.verified_by(ca, host))
    return messages.upstream_tls(UpstreamTlsContext(sni=host, common_tls_context=common))
