"""envoy/lua/withhold.lua: of the client's headers only the harmless ones reach a provider."""

from __future__ import annotations

import pytest
from lupa.luajit21 import LuaRuntime

from tests.lua.modules import SOURCE

# An object with what a Lua filter has of headers; `pairs` gives names in any order, as Envoy does.
HEADERS = """
function pass(sent, all_but, names)
  local headers = {remove = function(_, name) sent[name] = nil end}
  local iterated = pairs
  pairs = function(t) if t == headers then return iterated(sent) else return iterated(t) end end
  all_but(names)(headers)
  pairs = iterated
  return sent
end
"""


def passed(sent: dict[str, str], *forwarded: str) -> dict[str, str]:
    """What is left of the headers."""
    lua = LuaRuntime()
    lua.execute(f'package.path = "{SOURCE}/?.lua"')
    lua.execute(HEADERS)
    all_but = lua.eval('require("withhold").all_but')
    left = lua.globals()["pass"](lua.table_from(sent), all_but, lua.table_from(list(forwarded)))
    return dict(left.items())


HARMLESS = {
    ":path": "/v1/chat/completions",
    ":authority": "gateway",
    "content-type": "application/json",
    "content-length": "2",
    "accept": "application/json",
    "user-agent": "curl",
    "traceparent": "00-1-2-01",
    "tracestate": "a=b",
    "idempotency-key": "1",
    "x-request-id": "1",
    "x-stainless-retry-count": "0",
    "x-tollhouse-provider": "openai",
    "x-envoy-attempt-count": "1",
}


def test_harmless_headers_pass() -> None:
    assert passed(HARMLESS) == HARMLESS


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-key-of-another"),
        *("openai-organization", "anthropic-beta", "x-amz-security-token", "http-referer"),
        *("accept-encoding", "x-forwarded-for", "x-simulate", "anything", "accept-language"),
        *("x-stainless", "content-type-2"),
    ],
)
def test_every_other_header_stays_behind(name: str) -> None:
    assert passed({**HARMLESS, name: "of the client"}) == HARMLESS


def test_a_header_that_the_policy_names_passes_and_its_neighbours_do_not() -> None:
    sent = {"anthropic-beta": "a", "anthropic-beta-2": "b", "anthropic-version": "c"}
    assert passed(sent, "anthropic-beta") == {"anthropic-beta": "a"}
