"""A provider's cluster, and that nothing a policy may say becomes part of its Lua."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lupa.luajit21 import LuaRuntime
from pydantic import TypeAdapter, ValidationError

from tollhouse.policy.compiled import Provider
from tollhouse.policy.files import Name, ProviderFile
from tollhouse.policy.secret import Secret
from tollhouse.rendering import messages
from tollhouse.rendering.clusters import provider_cluster

FILTERS = [
    "withhold",
    "envoy.filters.http.credential_injector",
    "rewrite",
    "seal",
    "clean",
    "envoy.filters.http.upstream_codec",
]


def cluster(base_url: str, name: str = "acme", **changed: Any) -> dict[str, Any]:
    given = {"auth_header": "authorization", "auth_prefix": "Bearer ", **changed}
    provider = Provider(
        name=name,
        dialect="openai",
        base_url=base_url,
        secret=Secret("env", "ACME_KEY"),
        connect_timeout_seconds=5.0,
        idle_timeout_seconds=600.0,
        max_tokens_field="max_tokens",
        stream_usage="always",
        **given,
    )
    return messages.to_json(provider_cluster(provider, base_url, Path("/etc/envoy")))


def filters(made: dict[str, Any]) -> dict[str, Any]:
    [options] = made["typed_extension_protocol_options"].values()
    return {one["name"]: one["typed_config"] for one in options["http_filters"]}


def test_the_filters_of_an_attempt_are_in_the_order_that_keeps_keys_apart() -> None:
    made = filters(cluster("https://a.example/v1"))
    assert list(made) == FILTERS
    mutations = made["withhold"]["mutations"]["request_mutations"]
    withheld = [one["remove"] for one in mutations if "remove" in one]
    assert {"authorization", "x-api-key", "api-key", "x-tollhouse-rewritten"} <= set(withheld)


@pytest.mark.parametrize(
    ("base_url", "host", "port", "kind", "is_tls"),
    [
        ("https://a.example/v1", "a.example", 443, "STRICT_DNS", True),
        ("https://a.example:8443/v1", "a.example", 8443, "STRICT_DNS", True),
        ("https://10.0.0.1/v1", "10.0.0.1", 443, "STATIC", True),
        ("http://127.0.0.1/v1", "127.0.0.1", 80, "STATIC", False),
        ("http://[::1]:8080/v1", "::1", 8080, "STATIC", False),
    ],
)
def test_a_cluster_goes_where_the_url_says(
    base_url: str, host: str, port: int, kind: str, is_tls: bool
) -> None:
    made = cluster(base_url)
    [locality] = made["load_assignment"]["endpoints"]
    [endpoint] = locality["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert address == {"address": host, "port_value": port}
    assert (made["name"], made.get("type", "STATIC")) == ("provider.acme", kind)
    assert ("transport_socket" in made) == is_tls


@pytest.mark.parametrize(
    ("base_url", "host", "kind"),
    [
        ("https://a.example:8443/v1", "a.example", "DNS"),
        ("https://10.0.0.1/v1", "10.0.0.1", "IP_ADDRESS"),
        ("https://[2001:db8::1]/v1", "2001:db8::1", "IP_ADDRESS"),
    ],
)
def test_a_provider_must_prove_its_name_or_address(base_url: str, host: str, kind: str) -> None:
    tls = cluster(base_url)["transport_socket"]["typed_config"]
    assert tls["sni"] == host
    assert tls["common_tls_context"]["validation_context"] == {
        "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
        "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": host}}],
    }


def test_the_credential_replaces_what_is_there_and_a_request_without_it_stays() -> None:
    made = cluster("https://a.example/v1", auth_header="api-key", auth_prefix="")
    injector = filters(made)["envoy.filters.http.credential_injector"]
    assert injector["overwrite"] is True
    assert "allow_request_without_credential" not in injector
    generic = injector["credential"]["typed_config"]
    assert (generic["header"], generic["credential"]["name"]) == ("api-key", "acme")
    assert generic.get("header_value_prefix", "") == ""


# What a policy may say, as Lua


def told_to_lua(made: dict[str, Any]) -> dict[str, str]:
    """Runs the rendered script; what it gives to rewrite.to_provider."""
    lua = LuaRuntime()
    lua.execute(
        "package.preload.rewrite = function() return {to_provider = function(p) got = p end} end"
    )
    lua.execute(filters(made)["rewrite"]["default_source_code"]["inline_string"])
    lua_globals = lua.globals()
    assert lua_globals.package.path == "/etc/envoy/lua/?.lua"
    return dict(lua_globals.got.items())


def admitted(kind: Any, value: Any) -> Any:
    """The value as the policy loader takes it, None where it refuses."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


# Near enough to a URL that many are taken, and full of what Lua would read as its own.
HOSTILE = st.text("abz019.-_~/:%[]@?#\"'\\{}() \t\n=;$\N{EURO SIGN}", max_size=12)
URLS = st.builds("{}{}{}{}".format, st.sampled_from(["https://a", "http://[::1", "https://"]),
                 HOSTILE, st.sampled_from(["", "]", ".example", ":443"]), HOSTILE)  # fmt: skip


@given(URLS)
@example("https://a.example:8443/v1/x-y_z~")
@example('https://[::1%"} got={host="evil"} --]/v1')
@example('https://a.example/v1"}os.exit()--')
@example("https://a.example/]]")
@example("https://a.example\\")
def test_a_url_that_a_policy_may_hold_reaches_lua_as_it_is(url: str) -> None:
    written = {
        "dialect": "openai", "base_url": url, "api_key": "${A}", "allow_plain_http": True
    }  # fmt: skip
    if provider := admitted(ProviderFile, written):
        parts = urlsplit(provider.base_url)
        assert parts.geturl() == url.rstrip("/")
        assert told_to_lua(cluster(provider.base_url)) == {
            "name": "acme",
            "host": parts.netloc,
            "base_path": parts.path,
        }


@given(HOSTILE | st.from_regex(r"\A[A-Za-z0-9._-]{1,20}\Z"))
@example('acme"')
@example("acme\n")
@example("../acme")
def test_a_name_that_a_policy_may_hold_reaches_lua_and_the_file_system_as_it_is(name: str) -> None:
    if admitted(Name, name):
        assert told_to_lua(cluster("https://a.example/v1", name))["name"] == name
        assert Path(f"/secrets/{name}.json").resolve().parent == Path("/secrets")


def test_the_seal_lets_a_rewritten_request_pass_and_refuses_any_other() -> None:
    lua = LuaRuntime()
    source = filters(cluster("https://a.example/v1"))["seal"]["default_source_code"]
    lua.execute(source["inline_string"])
    asked = lua.eval(
        "function(seal) local said = 'passes'; envoy_on_request({"
        "headers = function() return {get = function(_, name)"
        " return name == 'x-tollhouse-rewritten' and seal or nil end} end,"
        "respond = function(_, headers, body) said = headers[':status'] .. body end}) return said "
        "end"
    )
    assert asked("1") == "passes"
    assert asked("") == asked(None) == asked("01")
    assert asked(None).startswith('500{"error": {"message": "The gateway could not rewrite')
