"""Providers' clusters, and the filters every attempt at a provider passes through.

In order: forget whatever the client sent that a provider must not see, add the credential, rewrite
the body, seal it (a request that the rewrite did not finish is refused), remove our own headers.
The credential comes before the rewrite, from which on a request counts as sent: one that is refused
for want of a credential is not charged.
They run in the cluster, once per attempt, so that a second provider never sees a first one's key.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import betterproto2
from envoy_data_plane.envoy.config.cluster.v3 import (
    CircuitBreakers,
    CircuitBreakersThresholds,
    Cluster,
    ClusterDiscoveryType,
    ClusterDnsLookupFamily,
)
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutation as Mutation,
)
from envoy_data_plane.envoy.config.common.mutation_rules.v3 import (
    HeaderMutationRemoveOnMatch,
)
from envoy_data_plane.envoy.config.core.v3 import (
    DataSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    Http1ProtocolOptions,
    TransportSocket,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.filters.http.credential_injector.v3 import (
    CredentialInjector,
)
from envoy_data_plane.envoy.extensions.filters.http.header_mutation.v3 import (
    HeaderMutation,
    Mutations,
)
from envoy_data_plane.envoy.extensions.filters.http.lua.v3 import Lua
from envoy_data_plane.envoy.extensions.filters.http.upstream_codec.v3 import UpstreamCodec
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import HttpFilter
from envoy_data_plane.envoy.extensions.http.injected_credentials.generic.v3 import Generic
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CommonTlsContext,
    UpstreamTlsContext,
)
from envoy_data_plane.envoy.extensions.upstreams.http.v3 import (
    HttpProtocolOptions,
    HttpProtocolOptionsExplicitHttpConfig,
)
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from tollhouse import contract
from tollhouse.decisions import error_body
from tollhouse.policy.compiled import Provider
from tollhouse.rendering import messages
from tollhouse.rendering.settings import Address

SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")

# accept-encoding: a compressed answer hides its usage. openai-organization and -project would
# choose another account. (x-request-id stays: attempts share one set of headers with the access
# log, which would lose it.)
CLIENT_HEADERS_WITHHELD = (
    "authorization",
    "x-api-key",
    "api-key",
    "proxy-authorization",
    "cookie",
    "accept-encoding",
    "openai-organization",
    "openai-project",
    "x-forwarded-proto",
)
# By these a client would choose an account, a dearer tier or a feature that no bound knows:
# anthropic-beta's long context, x-goog-user-project, openai-beta, x-vllm-priority.
CLIENT_HEADER_PREFIXES_WITHHELD = (
    *("anthropic-", "cf-aig-", "helicone-", "openai-", "x-amz-", "x-goog-", "x-litellm-"),
    *("x-ms-", "x-portkey-", "x-vllm-"),
)
# What tells a client whose account and which limits stand behind its alias.
PROVIDER_HEADERS_WITHHELD = (
    "server",
    "set-cookie",
    "via",
    "alt-svc",
    "strict-transport-security",
    "authorization",
    "api-key",
    "x-api-key",
    "x-request-id",
    "request-id",
)
PROVIDER_HEADER_PREFIXES_WITHHELD = (
    "x-ratelimit-",
    "anthropic-ratelimit-",
    "openai-",
    "x-openai-",
    "cf-",
    "x-tollhouse-",
    "x-envoy-",
)


def _filter(name: str, config: betterproto2.Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(config))


def _matching(prefix: str) -> Mutation:
    return Mutation(
        remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix))
    )


def _withhold() -> HeaderMutation:
    removed = [Mutation(remove=name) for name in CLIENT_HEADERS_WITHHELD]
    prefixes = [_matching(prefix) for prefix in CLIENT_HEADER_PREFIXES_WITHHELD]
    marker = Mutation(remove=contract.REWRITTEN_HEADER)
    return HeaderMutation(mutations=Mutations(request_mutations=[*removed, *prefixes, marker]))


def _rewrite(provider: Provider, base_url: str, lua_dir: Path) -> Lua:
    url = urlsplit(base_url)
    script = (
        f'package.path = "{lua_dir}/?.lua"\n'
        'local rewrite = require("rewrite")\n'
        "envoy_on_response = rewrite.on_response\n"
        "envoy_on_request = rewrite.to_provider{\n"
        f'  name = "{provider.name}", host = "{url.netloc}", base_path = "{url.path}",\n'
        "}\n"
    )
    return Lua(default_source_code=DataSource(inline_string=script))


def _seal() -> Lua:
    # A Lua error leaves the request to go on as it came. rewrite.lua sets this header last of all,
    # so a request without it was not rewritten, whatever went wrong. This script stands alone: it
    # loads no file, cannot yield, and has one branch. (upstream_rbac cannot do it: it decides when
    # the host is picked, before any filter has run.)
    refusal = error_body(
        "internal_error",
        "The gateway could not rewrite this request and did not send it. "
        "Tell the gateway's operator the request id.",
    )
    script = (
        "function envoy_on_request(handle)\n"
        f'  if handle:headers():get("{contract.REWRITTEN_HEADER}") == "1" then return end\n'
        f'  handle:respond({{[":status"] = "500", ["content-type"] = "application/json",\n'
        f'    ["{contract.DECISION_HEADER}"] = "internal_error"}}, [[{refusal}]])\n'
        "end\n"
    )
    return Lua(default_source_code=DataSource(inline_string=script))


def _clean() -> HeaderMutation:
    ours = [_matching("x-tollhouse-"), _matching("x-envoy-")]
    hidden = [Mutation(remove=name) for name in PROVIDER_HEADERS_WITHHELD]
    prefixes = [_matching(prefix) for prefix in PROVIDER_HEADER_PREFIXES_WITHHELD]
    # Local replies never come this way, so this tells response.lua a provider's answer from ours.
    answered = Mutation(
        append=HeaderValueOption(
            header=HeaderValue(key=contract.ANSWERED_HEADER, value="provider"),
            append_action=HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    )
    return HeaderMutation(
        mutations=Mutations(
            request_mutations=ours, response_mutations=[*hidden, *prefixes, answered]
        )
    )


def _credential(provider: Provider, secret_file: Path) -> CredentialInjector:
    generic = Generic(
        credential=messages.sds(provider.name, secret_file),
        header=provider.auth_header,
        header_value_prefix=provider.auth_prefix,
    )
    # Without a credential the request is refused (allow_request_without_credential is false).
    return CredentialInjector(
        overwrite=True,
        credential=TypedExtensionConfig(
            name="envoy.http.injected_credentials.generic", typed_config=Any.pack(generic)
        ),
    )


def _protocol(filters: list[HttpFilter]) -> HttpProtocolOptions:
    return HttpProtocolOptions(
        explicit_http_config=HttpProtocolOptionsExplicitHttpConfig(
            http_protocol_options=Http1ProtocolOptions()
        ),
        http_filters=filters,
    )


def _tls(host: str) -> TransportSocket:
    common = CommonTlsContext(validation_context=messages.verified_by(SYSTEM_CA, host))
    return messages.upstream_tls(UpstreamTlsContext(sni=host, common_tls_context=common))


def _endpoint(base_url: str) -> Address:
    url = urlsplit(base_url)
    return Address(host=url.hostname or "", port=url.port or (443 if url.scheme == "https" else 80))


def provider_cluster(provider: Provider, base_url: str, directory: Path) -> Cluster:
    """The cluster `provider.<name>`; `base_url` is the provider's own, or the simulator's."""
    where = _endpoint(base_url)
    name = f"provider.{provider.name}"
    filters = [
        _filter("withhold", _withhold()),
        _filter(
            "envoy.filters.http.credential_injector",
            _credential(provider, directory / "secrets" / f"{provider.name}.json"),
        ),
        _filter("rewrite", _rewrite(provider, base_url, directory / "lua")),
        _filter("seal", _seal()),
        _filter("clean", _clean()),
        _filter("envoy.filters.http.upstream_codec", UpstreamCodec()),
    ]
    return Cluster(
        name=name,
        # Metrics split a name at its dots: this one is a label's value, whole.
        alt_stat_name=name.replace(".", "_"),
        type=ClusterDiscoveryType.STRICT_DNS if where.is_name else ClusterDiscoveryType.STATIC,
        dns_lookup_family=ClusterDnsLookupFamily.V4_PREFERRED,
        connect_timeout=timedelta(seconds=provider.connect_timeout_seconds),
        per_connection_buffer_limit_bytes=1 << 20,
        circuit_breakers=_no_breakers(),
        load_assignment=messages.load_assignment(name, where),
        transport_socket=_tls(where.host) if urlsplit(base_url).scheme == "https" else None,
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": Any.pack(_protocol(filters))
        },
    )


def _no_breakers() -> CircuitBreakers:
    # Envoy's defaults (1,024 requests, 3 retries) would refuse calls that the policy admits; what
    # bounds the calls is the ledger.
    most = 1_000_000
    return CircuitBreakers(
        thresholds=[
            CircuitBreakersThresholds(
                max_connections=most,
                max_pending_requests=most,
                max_requests=most,
                max_retries=most,
            )
        ]
    )
