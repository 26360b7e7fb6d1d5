"""The names that others build on, and that Envoy, Lua and Python each write for themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import yaml

from ratelimit_service.size import RequestSize
from tests.support.policy import write_tree
from tollhouse import contract
from tollhouse.paths import ENVOY_DIR
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rendering import routes

TEXT = (ENVOY_DIR / "envoy.yaml").read_text()
MANAGER = yaml.safe_load(TEXT)["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][
    0
]["typed_config"]
FILTERS = {one["name"]: one.get("typed_config", {}) for one in MANAGER["http_filters"]}
LOGS = {one["name"]: one["typed_config"] for one in MANAGER["access_log"]}
LUA = {path.name: path.read_text() for path in sorted((ENVOY_DIR / "lua").glob("*.lua"))}


def test_the_names_that_dashboards_and_clients_build_on_stay() -> None:
    names = {name: value for name, value in vars(contract).items() if name.isupper()}
    assert names == {
        "LARGE": "tollhouse.large",
        "REQUEST": "tollhouse.request",
        "GRANT": "envoy.filters.http.ext_authz",
        "RESERVATION": "envoy.filters.http.ratelimit",
        "ATTEMPT": "tollhouse.attempt",
        "RESPONSE": "tollhouse.response",
        "CALLER": "tollhouse.caller",
        "PROVIDER_HEADER": "x-tollhouse-provider",
        "DECISION_HEADER": "x-tollhouse-decision",
        "REWRITTEN_HEADER": "x-tollhouse-rewritten",
        "ANSWERED_HEADER": "x-tollhouse-answered-by",
        "POLICY_HEADER": "x-tollhouse-policy",
        "ASKED_HEADER": "x-tollhouse-asked",
        "MAX_RETRIES_HEADER": "x-envoy-max-retries",
        "MANAGE_PATH": "/manage",
        "CLIENT_ADDRESS_HEADER": "x-tollhouse-client-address",
        "IDENTITY_HEADER": "x-tollhouse-identity",
        "SIGN_ON_COOKIE": "tollhouse_sso",
        "GRANT_DESCRIPTORS": ("key_id", "alias", "policy_version"),
        "SIZE": "size",
        "REQUEST_ID_HEADER": "x-request-id",
        "REQUEST_ID_DESCRIPTOR": "request_id",
        "RATE_LIMIT_DOMAIN": "tollhouse",
        "ACCESS_LOG_NAME": "tollhouse",
    }


# Metadata namespaces


def test_the_services_write_where_envoy_puts_what_their_filters_say() -> None:
    assert FILTERS[contract.GRANT]["metadata_context_namespaces"] == [contract.REQUEST]
    assert FILTERS[contract.RESERVATION]["domain"] == contract.RATE_LIMIT_DOMAIN
    assert LOGS["settlement"]["common_config"]["log_name"] == contract.ACCESS_LOG_NAME


def test_the_audit_log_reads_only_namespaces_that_somebody_writes() -> None:
    logged = json.dumps(LOGS["audit"]["log_format"]["json_format"])
    read = re.findall(r"metadata\.filter_metadata\['([a-z_.]+)'\]", logged)
    assert "DYNAMIC_METADATA" not in logged
    assert set(read) == {
        contract.REQUEST,
        contract.GRANT,
        contract.RESERVATION,
        contract.ATTEMPT,
        contract.RESPONSE,
    }


def _written(script: str) -> set[str]:
    """Namespaces that a Lua script writes, by name or by the constant it keeps the name in."""
    names = set(re.findall(r'metadata:set\("([a-z.]+)"', LUA[script]))
    return names | set(re.findall(r'^local NAMESPACE = "(.+)"$', LUA[script], re.MULTILINE))


def test_lua_writes_the_namespaces_of_the_contract_and_its_own() -> None:
    # The spans of a body are for rewrite.lua alone: no service is told.
    assert _written("request.lua") == {contract.REQUEST, "tollhouse.body"}
    assert _written("failure.lua") == {contract.CALLER}
    assert _written("rewrite.lua") == _written("tried.lua") == {contract.ATTEMPT}
    assert _written("record.lua") == {contract.RESPONSE}
    others = LUA.keys() - {
        "request.lua",
        "failure.lua",
        "rewrite.lua",
        "tried.lua",
        "record.lua",
    }
    assert {script for script in others if _written(script)} == set()


def test_lua_reads_the_namespaces_of_the_contract_and_its_own() -> None:
    read = set(re.findall(r'etadata(?:\(\))?:get\("(.+?)"\)', "".join(LUA.values())))
    # What is known of the usage is read by record.lua, under the name by which it writes it.
    assert read == {
        contract.REQUEST,
        contract.GRANT,
        contract.RESERVATION,
        contract.ATTEMPT,
        "tollhouse.body",
    }


def test_the_size_that_request_lua_tells_has_the_facts_that_ratelimit_service_reads() -> None:
    [listed] = re.findall(
        r"^local SIZE = \{$(.+?)^\}$", LUA["request.lua"], re.MULTILINE | re.DOTALL
    )
    told = re.findall(r'\{"(\w+)", ', listed)
    assert {"endpoint", *told, "continued"} == {each.name for each in fields(RequestSize)}


def _descriptor() -> Iterator[tuple[str, str, str]]:
    for action in asdict(routes.admission_descriptor())["actions"][:-1]:
        metadata = action["metadata"]
        [segment] = metadata["metadata_key"]["path"]
        yield metadata["metadata_key"]["key"], segment["key"], metadata["descriptor_key"]


def test_the_descriptor_takes_each_fact_from_its_namespace_under_its_name() -> None:
    grant = [(contract.GRANT, name, name) for name in contract.GRANT_DESCRIPTORS]
    assert list(_descriptor()) == [*grant, (contract.REQUEST, contract.SIZE, contract.SIZE)]


def test_the_descriptor_ends_with_envoys_id_of_the_request() -> None:
    last = asdict(routes.admission_descriptor())["actions"][-1]["request_headers"]
    assert last == {
        "header_name": contract.REQUEST_ID_HEADER,
        "descriptor_key": contract.REQUEST_ID_DESCRIPTOR,
        "skip_if_absent": True,
    }


# Headers and endpoints


def _headers(text: str) -> set[str]:
    return set(re.findall(r"""["' ](x-tollhouse-[a-z-]*[a-z])["',]""", text))


def test_lua_and_envoy_know_no_header_that_the_contract_does_not() -> None:
    assert _headers(LUA["request.lua"]) == {contract.DECISION_HEADER}
    assert _headers(LUA["rewrite.lua"]) == {contract.REWRITTEN_HEADER}
    assert _headers(LUA["response.lua"]) == {contract.DECISION_HEADER, contract.ANSWERED_HEADER}
    assert _headers(LUA["failure.lua"]) == {contract.ASKED_HEADER}
    assert _headers(LUA["headings.lua"]) == {contract.ANSWERED_HEADER}
    assert _headers(TEXT) == {contract.DECISION_HEADER, contract.ASKED_HEADER}


def test_a_header_of_ours_is_dropped_when_a_client_sends_it() -> None:
    removed: list[dict[str, Any]] = FILTERS["edge"]["mutations"]["request_mutations"]
    prefixes = tuple(
        one["remove_on_match"]["key_matcher"]["prefix"]
        for one in removed
        if "prefix" in one.get("remove_on_match", {}).get("key_matcher", {})
    )
    named = {value for name, value in vars(contract).items() if name.endswith("_HEADER")}
    ours = named - {contract.REQUEST_ID_HEADER}
    assert len(ours) == 9
    assert all(header.startswith(prefixes) for header in ours)


def test_the_names_of_routes_and_clusters_are_the_providers(tmp_path: Path) -> None:
    snapshot = load_snapshot(write_tree(tmp_path))
    configuration = routes.route_configuration(
        [*snapshot.providers.values()], snapshot.org, manage=False
    )
    route, catch_all = configuration.virtual_hosts[0].routes
    assert (route.name, route.route.cluster) == ("provider.openai", "provider.openai")
    [header] = route.match.headers
    assert (header.name, header.string_match.exact) == (contract.PROVIDER_HEADER, "openai")
    assert catch_all.name == "no_provider"
