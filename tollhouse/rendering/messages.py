"""Small builders over envoy-data-plane's typed messages, shared by clusters, routes and secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any as AnyValue

import betterproto2
from envoy_data_plane.envoy.config.core.v3 import (
    Address as EnvoyAddress,
)
from envoy_data_plane.envoy.config.core.v3 import (
    ApiVersion,
    ConfigSource,
    DataSource,
    PathConfigSource,
    Pipe,
    SocketAddress,
    TransportSocket,
    WatchedDirectory,
)
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    CommonTlsContext,
    DownstreamTlsContext,
    SdsSecretConfig,
    SubjectAltNameMatcher,
    SubjectAltNameMatcherSanType,
    TlsCertificate,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from tollhouse.rendering.settings import Address, ServicesTls, TlsFiles

Json = dict[str, AnyValue]


def to_json(message: betterproto2.Message) -> Json:
    """The message as proto JSON with Envoy's own snake_case field names."""
    # As the fields are called: Casing.SNAKE would make consecutive_5_xx of consecutive_5xx.
    rendered: Json = message.to_dict(casing=str)  # type: ignore[arg-type]
    return rendered


def discovery_response(resources: list[betterproto2.Message], version: str | None = None) -> Json:
    """The body of a file that Envoy watches: each resource packed with its type.

    Envoy shows `version` as the `version_text` of the service once it has taken the file.
    """
    told = {"version_info": version} if version else {}
    return {**told, "resources": [to_json(Any.pack(resource)) for resource in resources]}


def file_source(path: Path) -> ConfigSource:
    """A file that is replaced by rename; the directory is watched, as Kubernetes mounts need."""
    return ConfigSource(
        path_config_source=PathConfigSource(
            path=str(path), watched_directory=WatchedDirectory(path=str(path.parent))
        ),
        resource_api_version=ApiVersion.V3,
    )


def sds(name: str, path: Path) -> SdsSecretConfig:
    """A secret by name, from a file of its own (Envoy takes one secret a file)."""
    return SdsSecretConfig(name=name, sds_config=file_source(path))


def address(where: Address) -> EnvoyAddress:
    if where.is_unix:
        return EnvoyAddress(pipe=Pipe(path=where.path))
    return EnvoyAddress(socket_address=SocketAddress(address=where.host, port_value=where.port))


def load_assignment(cluster: str, where: Address) -> ClusterLoadAssignment:
    endpoint = LbEndpoint(endpoint=Endpoint(address=address(where)))
    return ClusterLoadAssignment(
        cluster_name=cluster, endpoints=[LocalityLbEndpoints(lb_endpoints=[endpoint])]
    )


def _certificate(files: TlsFiles) -> TlsCertificate:
    return TlsCertificate(
        certificate_chain=DataSource(filename=str(files.cert)),
        private_key=DataSource(filename=str(files.key)),
        watched_directory=WatchedDirectory(path=str(files.cert.parent)),
    )


def certificate_secret(files: TlsFiles) -> TlsCertificate:
    """The certificate as a secret: Envoy reads it again when a file is renamed into its folder."""
    return _certificate(files)


def verified_by(ca: Path, host: str) -> CertificateValidationContext:
    """Trust this CA file, and only a certificate for this host name or IP address."""
    context = named(host)
    context.trusted_ca = DataSource(filename=str(ca))
    return context


def named(host: str) -> CertificateValidationContext:
    """Only a certificate for this host name or IP address; whose, is said elsewhere."""
    kinds = SubjectAltNameMatcherSanType
    kind = kinds.DNS if Address(host=host).is_name else kinds.IP_ADDRESS
    name = SubjectAltNameMatcher(san_type=kind, matcher=StringMatcher(exact=host))
    return CertificateValidationContext(match_typed_subject_alt_names=[name])


def upstream_tls(context: UpstreamTlsContext) -> TransportSocket:
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=Any.pack(context))


def services_tls(tls: ServicesTls, host: str, alpn: str = "h2") -> TransportSocket:
    """Mutual TLS to one of our own services."""
    common = CommonTlsContext(
        tls_certificates=[_certificate(tls.client)],
        validation_context=verified_by(tls.ca, host),
        alpn_protocols=[alpn],
    )
    return upstream_tls(UpstreamTlsContext(sni=host, common_tls_context=common))


def listener_tls(secret: SdsSecretConfig) -> TransportSocket:
    """TLS for clients, HTTP/2 first; TLS 1.2 is Envoy's own lower bound."""
    common = CommonTlsContext(
        tls_certificate_sds_secret_configs=[secret], alpn_protocols=["h2", "http/1.1"]
    )
    return TransportSocket(
        name="envoy.transport_sockets.tls",
        typed_config=Any.pack(DownstreamTlsContext(common_tls_context=common)),
    )


def compact(value: AnyValue) -> str:
    """JSON on one line, which is also a YAML flow value: what a ${placeholder} becomes."""
    return json.dumps(value, separators=(", ", ": "))
