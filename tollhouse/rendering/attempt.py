"""The filters that every attempt at a provider passes through, in its cluster.

In order: forget what another attempt has set, add this provider's own headers and its credential,
withhold what it must not see and rewrite the body, seal it (a request that this did not finish is
refused), remove our own headers. The credential comes before the rewrite, from which on a request
counts as sent: one that is refused for want of a credential is not charged.
They run in the cluster, once per attempt, so that a second provider never sees a first one's key.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import betterproto2
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
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.extensions.common.matching.v3 import ExtensionWithMatcher
from envoy_data_plane.envoy.extensions.filters.common.matcher.action.v3 import SkipFilter
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
from envoy_data_plane.envoy.type.matcher.v3 import HttpRequestHeaderMatchInput, StringMatcher
from envoy_data_plane.google.protobuf import Any
from envoy_data_plane.xds.core.v3 import TypedExtensionConfig as XdsExtension
from envoy_data_plane.xds.type.matcher.v3 import (
    Matcher,
    MatcherMatcherList,
    MatcherMatcherListFieldMatcher,
    MatcherMatcherListPredicate,
    MatcherMatcherListPredicateSinglePredicate,
    MatcherOnMatch,
)
from envoy_data_plane.xds.type.matcher.v3 import StringMatcher as XdsStringMatcher

from tollhouse import contract
from tollhouse.decisions import error_body
from tollhouse.policy.compiled import Provider
from tollhouse.rendering import messages

SIMULATOR_HEADER = "x-simulate"
"""Directives of a test; it passes to the simulator alone, unless a policy forwards it."""
# withhold.lua would remove these, too; a credential is worth removing twice.
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "proxy-authorization", "cookie")
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


def filters(
    provider: Provider, base_url: str, directory: Path, *, more_may_come: bool
) -> list[HttpFilter]:
    """For a provider, or for the simulator that stands in for it at another `base_url`.

    `more_may_come`: another attempt may follow, so that the status of this one is noted here.
    """
    is_simulated = base_url != provider.base_url
    has_credential = provider.secret is not None or is_simulated
    passing = (
        *provider.forward_headers,
        *provider.headers,
        *((provider.auth_header,) if has_credential else ()),
        *((SIMULATOR_HEADER,) if is_simulated else ()),
    )
    secret_file = directory / "secrets" / f"{provider.name}.json"
    injector = "envoy.filters.http.credential_injector"
    rewrite = _rewrite(provider, base_url, passing, directory / "lua")
    if more_may_come:
        rewrite += 'envoy_on_response = require("rewrite").on_response\n'
    return [
        _filter("forget", _forget()),
        *([_filter("headers", _headers(provider))] if provider.headers else []),
        *([_filter(injector, _credential(provider, secret_file))] if has_credential else []),
        _filter("rewrite", _lua(rewrite)),
        _filter("seal", _seal()),
        _filter("clean", _clean()),
        _filter("envoy.filters.http.upstream_codec", UpstreamCodec()),
    ]


def _filter(name: str, config: betterproto2.Message) -> HttpFilter:
    return HttpFilter(name=name, typed_config=Any.pack(config))


def _lua(script: str) -> Lua:
    return Lua(default_source_code=DataSource(inline_string=script))


def _matching(prefix: str) -> Mutation:
    return Mutation(
        remove_on_match=HeaderMutationRemoveOnMatch(key_matcher=StringMatcher(prefix=prefix))
    )


def _set(name: str, value: str) -> Mutation:
    # Envoy reads % in a value as the beginning of a command.
    header = HeaderValue(key=name, value=value.replace("%", "%%"))
    action = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return Mutation(append=HeaderValueOption(header=header, append_action=action))


def _forget() -> HeaderMutation:
    names = (*_CREDENTIALS, contract.REWRITTEN_HEADER)
    return HeaderMutation(
        mutations=Mutations(request_mutations=[Mutation(remove=name) for name in names])
    )


def _headers(provider: Provider) -> HeaderMutation:
    fixed = [_set(name, value) for name, value in provider.headers.items()]
    return HeaderMutation(mutations=Mutations(request_mutations=fixed))


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


def _rewrite(provider: Provider, base_url: str, passing: tuple[str, ...], lua_dir: Path) -> str:
    url = urlsplit(base_url)
    names = ", ".join(f'"{name}"' for name in passing)
    return (
        f'package.path = "{lua_dir}/?.lua"\n'
        'envoy_on_request = require("rewrite").to_provider{\n'
        f'  name = "{provider.name}", host = "{url.netloc}", base_path = "{url.path}",\n'
        f"  passing = {{{names}}},\n"
        "}\n"
    )


def _seal() -> ExtensionWithMatcher:
    # A Lua error leaves the request to go on as it came. rewrite.lua sets a header last of all, so
    # a request that lacks it was not finished, whatever went wrong. Envoy itself looks for it; the
    # script refuses whatever it is given, loads no file and cannot yield. (upstream_rbac cannot do
    # it: it decides when the host is picked, before any filter has run.)
    refusal = error_body(
        "internal_error",
        "The gateway could not rewrite this request and did not send it. "
        "Tell the gateway's operator the request id.",
    )
    refuse = _lua(
        "function envoy_on_request(handle)\n"
        f'  handle:respond({{[":status"] = "500", ["content-type"] = "application/json",\n'
        f'    ["{contract.DECISION_HEADER}"] = "internal_error"}}, [[{refusal}]])\n'
        "end\n"
    )
    return ExtensionWithMatcher(
        xds_matcher=_skipped_with(contract.REWRITTEN_HEADER, "1"),
        extension_config=TypedExtensionConfig(name="refuse", typed_config=Any.pack(refuse)),
    )


def _skipped_with(header: str, value: str) -> Matcher:
    """Passes a filter over for the requests that have this header, and this value in it."""
    sent = HttpRequestHeaderMatchInput(header_name=header)
    predicate = MatcherMatcherListPredicateSinglePredicate(
        input=_extension("header", sent), value_match=XdsStringMatcher(exact=value)
    )
    skip = MatcherMatcherListFieldMatcher(
        predicate=MatcherMatcherListPredicate(single_predicate=predicate),
        on_match=MatcherOnMatch(action=_extension("skip", SkipFilter())),
    )
    return Matcher(matcher_list=MatcherMatcherList(matchers=[skip]))


def _extension(name: str, config: betterproto2.Message) -> XdsExtension:
    return XdsExtension(name=name, typed_config=Any.pack(config))


def _clean() -> HeaderMutation:
    ours = [_matching("x-tollhouse-"), _matching("x-envoy-")]
    hidden = [Mutation(remove=name) for name in PROVIDER_HEADERS_WITHHELD]
    prefixes = [_matching(prefix) for prefix in PROVIDER_HEADER_PREFIXES_WITHHELD]
    # Local replies never come this way, so this tells response.lua a provider's answer from ours.
    answered = _set(contract.ANSWERED_HEADER, "provider")
    return HeaderMutation(
        mutations=Mutations(
            request_mutations=ours, response_mutations=[*hidden, *prefixes, answered]
        )
    )
