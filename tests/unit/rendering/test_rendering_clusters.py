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
from tollhouse.policy.field_types import Name
from tollhouse.policy.provider_files import ProviderFile
from tollhouse.policy.secret import Secret
from tollhouse.rendering import messages
from tollhouse.rendering.clusters import provider_clusters

FILTERS = [
    "forget",
    "headers",
    "envoy.filters.http.credential_injector",
    "rewrite",
    "seal",
    "clean",
    "envoy.filters.http.upstream_codec",
]


def provider(base_url: str, name: str = "acme", **changed: Any) -> Provider:
    given = {
        "auth_header": "authorization",
        "auth_prefix": "Bearer ",
        "secret": Secret("env", "ACME_KEY"),
        **changed,
    }
    return Provider(
        name=name,
        dialect="openai",
        base_url=base_url,
        connect_timeout_seconds=5.0,
        idle_timeout_seconds=600.0,
        max_tokens_field="max_tokens",
        stream_usage="always",
        **given,
    )


def clusters(
    base_url: str, name: str = "acme", *, seen_at: str | None = None, **changed: Any
) -> list[dict[str, Any]]:
    """That of the single deployment, and the pool's. `seen_at`: the simulator's URL."""
    made = provider_clusters(
        provider(base_url, name, **changed), seen_at or base_url, Path("/etc/envoy")
    )
    return [messages.to_json(each) for each in made]


def cluster(base_url: str, name: str = "acme", **changed: Any) -> dict[str, Any]:
    return clusters(base_url, name, **changed)[0]


def filters(made: dict[str, Any]) -> dict[str, Any]:
    [options] = made["typed_extension_protocol_options"].values()
    return {one["name"]: one["typed_config"] for one in options["http_filters"]}


def test_the_filters_of_an_attempt_are_in_the_order_that_keeps_keys_apart() -> None:
    for made in clusters("https://a.example/v1", headers={"x-title": "acme"}):
        assert list(filters(made)) == FILTERS
        mutations = filters(made)["forget"]["mutations"]["request_mutations"]
        forgotten = {one["remove"] for one in mutations}
        assert {"authorization", "x-api-key", "api-key", "x-tollhouse-rewritten"} <= forgotten


def test_a_provider_without_fixed_headers_or_a_key_has_no_filter_for_them() -> None:
    made = filters(cluster("https://a.example/v1", secret=None))
    assert list(made) == [name for name in FILTERS if name not in FILTERS[1:3]]


def test_fixed_headers_are_sent_as_written() -> None:
    fixed = {"anthropic-version": "2023-06-01", "x-title": "100% %START_TIME%"}
    made = filters(cluster("https://a.example/v1", headers=fixed))["headers"]
    set_ones = [one["append"] for one in made["mutations"]["request_mutations"]]
    assert [one["header"] for one in set_ones] == [
        {"key": "anthropic-version", "value": "2023-06-01"},
        {"key": "x-title", "value": "100%% %%START_TIME%%"},
    ]
    assert {one["append_action"] for one in set_ones} == {"OVERWRITE_IF_EXISTS_OR_ADD"}


def passing(made: dict[str, Any]) -> list[str]:
    """The headers that may pass besides, as the rendered script says."""
    return list(told_to_lua(made)["passing"].values())


def test_what_a_policy_forwards_passes_and_directives_pass_to_the_simulator_alone() -> None:
    url, simulator = "https://a.example/v1", "http://127.0.0.1:7/acme/v1"
    assert passing(cluster(url)) == ["authorization"]
    forwarded = {"forward_headers": ("openai-beta",)}
    assert passing(cluster(url, **forwarded)) == ["openai-beta", "authorization"]
    assert passing(cluster(url, seen_at=simulator)) == ["authorization", "x-simulate"]


def test_what_envoy_adds_for_a_provider_passes_and_a_credential_only_where_it_adds_one() -> None:
    fixed = {"headers": {"x-title": "acme"}, "auth_header": "x-goog-api-key"}
    assert passing(cluster("https://a.example/v1", **fixed)) == ["x-title", "x-goog-api-key"]
    assert passing(cluster("https://a.example/v1", **fixed, secret=None)) == ["x-title"]


def test_a_stand_in_asks_for_a_key_though_the_provider_does_not() -> None:
    made = cluster("https://a.example/v1", secret=None, seen_at="http://127.0.0.1:7/acme/v1")
    assert "envoy.filters.http.credential_injector" in filters(made)


def test_connections_and_waiting_calls_are_bounded_only_where_the_policy_says_so() -> None:
    bounded = {"max_connections": 7, "max_pending_requests": 3}
    for bounds, expected in (({}, (1_000_000, 1_000_000)), (bounded, (7, 3))):
        for made in clusters("https://a.example/v1", **bounds):
            [threshold] = made["circuit_breakers"]["thresholds"]
            assert (threshold["max_connections"], threshold["max_pending_requests"]) == expected
            assert threshold["max_retries"] == threshold["max_requests"] == 1_000_000


# Cooldown


def test_only_the_pool_passes_a_provider_over_and_then_nobody_takes_its_place() -> None:
    single, pool = clusters("https://a.example/v1", cooldown_seconds=30.0, cooldown_after=2)
    assert (single["name"], pool["name"]) == ("provider.acme", "provider.acme.pool")
    assert "outlier_detection" not in single
    assert len(single["load_assignment"]["endpoints"]) == 1
    detection = pool["outlier_detection"]
    assert (detection["consecutive_5xx"], detection["base_ejection_time"]) == (2, "30s")
    assert detection["max_ejection_time"] == "30s"
    real, nobody = pool["load_assignment"]["endpoints"]
    assert real == single["load_assignment"]["endpoints"][0]
    [endpoint] = nobody["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert (nobody["priority"], address) == (1, {"address": "127.0.0.1", "port_value": 1})


def test_without_a_cooldown_the_pool_still_has_an_address_when_dns_gives_none() -> None:
    _, pool = clusters("https://a.example/v1", cooldown_seconds=0.0)
    assert "outlier_detection" not in pool
    assert len(pool["load_assignment"]["endpoints"]) == 2


# Addresses and TLS


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


def test_a_certificate_may_have_another_name_than_the_host_and_a_private_ca() -> None:
    own = {"server_name": "llm.acme.example", "ca_file": "/run/ca.crt"}
    for made in clusters("https://10.0.0.1/v1", **own):
        tls = made["transport_socket"]["typed_config"]
        assert tls["sni"] == "llm.acme.example"
        context = tls["common_tls_context"]["combined_validation_context"]
        assert context["default_validation_context"] == {
            "match_typed_subject_alt_names": [
                {"san_type": "DNS", "matcher": {"exact": "llm.acme.example"}}
            ]
        }
        source = context["validation_context_sds_secret_config"]
        assert source["name"] == "_ca.acme"
        path = source["sds_config"]["path_config_source"]["path"]
        assert path == "/etc/envoy/secrets/_ca.acme.json"


# The credential


def test_the_credential_replaces_what_is_there_and_a_request_without_it_stays() -> None:
    made = cluster("https://a.example/v1", auth_header="api-key", auth_prefix="")
    injector = filters(made)["envoy.filters.http.credential_injector"]
    assert injector["overwrite"] is True
    assert "allow_request_without_credential" not in injector
    generic = injector["credential"]["typed_config"]
    assert (generic["header"], generic["credential"]["name"]) == ("api-key", "acme")
    assert generic.get("header_value_prefix", "") == ""


# What a policy may say, as Lua


def told_to_lua(made: dict[str, Any]) -> dict[str, Any]:
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
        told = told_to_lua(cluster(provider.base_url))
        assert told.pop("passing")
        assert told == {"name": "acme", "host": parts.netloc, "base_path": parts.path}


@given(HOSTILE | st.from_regex(r"\A[A-Za-z0-9._-]{1,20}\Z"))
@example('acme"')
@example("acme\n")
@example("../acme")
def test_a_name_that_a_policy_may_hold_reaches_lua_and_the_file_system_as_it_is(name: str) -> None:
    if admitted(Name, name):
        assert told_to_lua(cluster("https://a.example/v1", name))["name"] == name
        assert Path(f"/secrets/{name}.json").resolve().parent == Path("/secrets")


def test_the_seal_is_passed_over_by_a_finished_request_alone() -> None:
    seal = filters(cluster("https://a.example/v1"))["seal"]
    [skip] = seal["xds_matcher"]["matcher_list"]["matchers"]
    predicate = skip["predicate"]["single_predicate"]
    assert predicate["input"]["typed_config"]["header_name"] == "x-tollhouse-rewritten"
    assert predicate["value_match"] == {"exact": "1"}
    assert skip["on_match"]["action"]["typed_config"]["@type"].endswith(".SkipFilter")
    assert "on_no_match" not in seal["xds_matcher"]


def test_the_seal_refuses_whatever_it_is_given() -> None:
    lua = LuaRuntime()
    source = filters(cluster("https://a.example/v1"))["seal"]["extension_config"]["typed_config"]
    lua.execute(source["default_source_code"]["inline_string"])
    asked = lua.eval(
        "function() local said = 'passes'; envoy_on_request({respond = function(_, headers, body)"
        " said = headers[':status'] .. body end}) return said end"
    )
    assert asked().startswith('500{"error": {"message": "The gateway could not rewrite')
