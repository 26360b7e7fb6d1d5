"""The filters that every attempt at a provider passes through, in its cluster.

In order: forget what another attempt has set, withhold what this provider must not see, add its own
headers and its credential, rewrite the body, seal it (a request that the steps before did not
finish is refused), remove our own headers. The credential comes before the rewrite, from which on a
request counts as sent: one that is refused for want of a credential is not charged.
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
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.google.protobuf import Any

from tollhouse import contract
from tollhouse.decisions import error_body
from tollhouse.policy.compiled import Provider
from tollhouse.rendering import messages

WITHHELD_HEADER = "x-tollhouse-withheld"
"""Set by withhold.lua once it has looked at every header."""
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


def filters(provider: Provider, base_url: str, directory: Path) -> list[HttpFilter]:
    """For a provider, or for the simulator that stands in for it at another `base_url`."""
    is_simulated = base_url != provider.base_url
    passing = (*provider.forward_headers, *((SIMULATOR_HEADER,) if is_simulated else ()))
    secret_file = directory / "secrets" / f"{provider.name}.json"
    injector = "envoy.filters.http.credential_injector"
    has_credential = provider.secret is not None or is_simulated
    return [
        _filter("forget", _forget()),
        _filter("withhold", _withhold(passing, directory / "lua")),
        *([_filter("headers", _headers(provider))] if provider.headers else []),
        *([_filter(injector, _credential(provider, secret_file))] if has_credential else []),
        _filter("rewrite", _rewrite(provider, base_url, directory / "lua")),
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
    names = (*_CREDENTIALS, WITHHELD_HEADER, contract.REWRITTEN_HEADER)
    return HeaderMutation(
        mutations=Mutations(request_mutations=[Mutation(remove=name) for name in names])
    )


def _withhold(passing: tuple[str, ...], lua_dir: Path) -> Lua:
    names = ", ".join(f'"{name}"' for name in passing)
    return _lua(
        f'package.path = "{lua_dir}/?.lua"\n'
        f'envoy_on_request = require("withhold").all_but{{{names}}}\n'
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


def _rewrite(provider: Provider, base_url: str, lua_dir: Path) -> Lua:
    url = urlsplit(base_url)
    return _lua(
        f'package.path = "{lua_dir}/?.lua"\n'
        'local rewrite = require("rewrite")\n'
        "envoy_on_response = rewrite.on_response\n"
        "envoy_on_request = rewrite.to_provider{\n"
        f'  name = "{provider.name}", host = "{url.netloc}", base_path = "{url.path}",\n'
        "}\n"
    )


def _seal() -> Lua:
    # A Lua error leaves the request to go on as it came. withhold.lua and rewrite.lua each set a
    # header last of all, so a request that lacks one was not finished, whatever went wrong. This
    # script stands alone: it loads no file, cannot yield, and has one branch. (upstream_rbac cannot
    # do it: it decides when the host is picked, before any filter has run.)
    refusal = error_body(
        "internal_error",
        "The gateway could not rewrite this request and did not send it. "
        "Tell the gateway's operator the request id.",
    )
    return _lua(
        "function envoy_on_request(handle)\n"
        "  local headers = handle:headers()\n"
        f'  local withheld = headers:get("{WITHHELD_HEADER}") == "1"\n'
        f'  if withheld and headers:get("{contract.REWRITTEN_HEADER}") == "1" then return end\n'
        f'  handle:respond({{[":status"] = "500", ["content-type"] = "application/json",\n'
        f'    ["{contract.DECISION_HEADER}"] = "internal_error"}}, [[{refusal}]])\n'
        "end\n"
    )


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
