"""What Lua knows of each endpoint is what Python knows of it."""

from __future__ import annotations

import pytest

from tests.lua.modules import Modules, from_lua
from tollhouse import endpoints

LUA = Modules()
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def table(name: str) -> set[str]:
    return set(from_lua(LUA.run(f'return require("endpoints").{name}')))


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("has_body", endpoints.NAMING_A_MODEL),
        ("is_unchecked", endpoints.UNCHECKED),
        ("is_multipart", endpoints.MULTIPART),
        ("generates", endpoints.GENERATING),
        (
            "is_anthropic",
            {name for name in endpoints.KNOWN if endpoints.dialect_of(name) == "anthropic"},
        ),
    ],
)
def test_each_table_of_lua_has_the_endpoints_of_python(name: str, known: set[str]) -> None:
    assert table(name) == set(known)


def test_lua_tells_every_endpoint_of_python_and_no_other() -> None:
    paths = {name: f"/v1/{name}" for name in endpoints.KNOWN - {endpoints.RESPONSE_BY_ID}}
    paths[endpoints.RESPONSE_BY_ID] = "/v1/responses/resp_1"
    assert {name: told(path)["name"] for name, path in paths.items()} == {
        name: name for name in endpoints.KNOWN
    }


def told(path: str) -> dict[str, object]:
    found: dict[str, object] = LUA.call("paths", "of", path)
    return {name: v.decode() if isinstance(v, bytes) else v for name, v in found.items()}


@pytest.mark.parametrize("name", sorted(endpoints.KNOWN))
def test_lua_reads_the_methods_that_python_takes(name: str) -> None:
    path = "/v1/responses/resp_1" if name == endpoints.RESPONSE_BY_ID else f"/v1/{name}"
    methods, taken = told(path).get("methods"), endpoints.methods_of(name)
    assert (methods is None) == (taken is None)
    assert methods is None or set(methods) == taken  # type: ignore[call-overload]


@pytest.mark.parametrize("name", sorted(endpoints.KNOWN))
def test_defaults_go_into_json_bodies_that_make_something(name: str) -> None:
    takes = LUA.call("endpoints", "takes_defaults", name)
    makes = name in endpoints.NAMING_A_MODEL - endpoints.MULTIPART - {endpoints.COUNT_TOKENS}
    assert bool(takes) == makes


def test_there_is_nothing_in_the_tables_of_lua_that_is_not_compared_here() -> None:
    names = LUA.run(
        "local names = {} for name, value in pairs(require('endpoints')) do"
        " if type(value) == 'table' then names[#names + 1] = name end end return names"
    )
    compared = {"has_body", "is_unchecked", "is_multipart", "generates", "is_anthropic"}
    assert {name.decode() for name in from_lua(names)} == compared
