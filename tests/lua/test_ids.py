"""Ids of stored responses: what Lua makes, authz_service takes, and nobody else can make."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from authz_service.stored import bind_of, shown_id
from tests.lua.modules import Modules

LUA = Modules()
texts = st.binary(max_size=300)


@given(texts)
def test_lua_hashes_as_everybody_does(text: bytes) -> None:
    assert LUA.call("sha256", "hex", text).decode() == hashlib.sha256(text).hexdigest()


@given(st.binary(max_size=64), texts)
def test_lua_signs_as_everybody_does(key: bytes, text: bytes) -> None:
    expected = hmac.new(key, text, hashlib.sha256).hexdigest()
    assert LUA.call("sha256", "hmac", key, text).decode() == expected


def test_the_id_that_lua_shows_is_the_one_that_authz_service_takes() -> None:
    bind = bind_of("tlh_secret")
    show = LUA.raw("ids", "binder", {"bind": bind, "deployment": "0123456789"})
    assert show(b"resp_67cc").decode() == shown_id("resp_67cc", "0123456789", bind)


def test_without_a_secret_no_id_is_bound() -> None:
    assert LUA.raw("ids", "binder", {"deployment": "0123456789"}) is None
