"""Signing in by token, and out."""

from __future__ import annotations

import re

import pytest

from console.audit.search import search_audit
from console.identity.sessions import COOKIE
from console.services import Services
from tests.support.console import TOKENS
from tests.support.html import parsed
from tests.support.policy import KEY
from tests.unit.console.pages.visitor import ROOT, Visitor


async def test_a_token_opens_the_pages_by_a_cookie_that_no_script_and_no_other_path_sees(
    visitor: Visitor,
) -> None:
    answer = await visitor.sign_in("viewer")
    assert answer.status_code == 303
    assert answer.headers["location"] == ROOT
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(
        f"{COOKIE}=[^;]+; HttpOnly; Max-Age=43200; Path=/manage; SameSite=lax", cookie
    )
    assert TOKENS["viewer"] not in cookie
    assert (await visitor.get("")).status_code == 200


async def test_the_cookie_of_a_page_over_https_is_never_sent_over_http(visitor: Visitor) -> None:
    form = {"token": TOKENS["viewer"]}
    answer = await visitor.post("/sign-in", form, **{"x-forwarded-proto": "https"})
    assert "; Secure" in answer.headers["set-cookie"]


async def test_whoever_is_not_signed_in_is_asked_to_and_then_gets_the_page(
    visitor: Visitor,
) -> None:
    answer = await visitor.get("/keys?q=web")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{ROOT}/sign-in?next=%2Fmanage%2Fui%2Fkeys%3Fq%3Dweb"
    page = parsed((await visitor.client.get(answer.headers["location"])).text)
    wanted = page.one("input", name="next").attributes["value"]
    signed_in = await visitor.sign_in("viewer", next=wanted)
    assert signed_in.headers["location"] == f"{ROOT}/keys?q=web"


async def test_signing_in_never_leads_to_another_site(visitor: Visitor) -> None:
    answer = await visitor.sign_in("viewer", next="https://evil.example/")
    assert answer.headers["location"] == ROOT


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("tlm_nobody", "This management token is mistyped."),
        (KEY, "This is a key for calling models: it manages nothing."),
        ("", "This management token is not known."),
    ],
)
async def test_what_is_no_token_is_refused_in_words_and_is_not_shown_again(
    visitor: Visitor, token: str, words: str
) -> None:
    answer = await visitor.post("/sign-in", {"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    page = parsed(answer.text)
    assert words in page.text
    assert "Authorization" not in page.text
    assert page.one("input", id="token").attributes["aria-invalid"] == "true"
    assert not token or token not in answer.text


async def test_a_form_of_another_site_signs_nobody_in(visitor: Visitor) -> None:
    form = {"token": TOKENS["admin"]}
    answer = await visitor.post("/sign-in", form, origin="https://evil.example")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_form_of_another_site_changes_nothing(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    answer = await visitor.post("/keys/web-1/block", {}, **{"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "A page of another site began this request." in answer.text
    assert "Every call is refused" not in (await visitor.get("/keys/web-1")).text


async def test_signing_out_ends_the_session(visitor: Visitor) -> None:
    await visitor.sign_in("viewer")
    answer = await visitor.post("/sign-out", {})
    assert answer.headers["location"] == f"{ROOT}/sign-in"
    assert (await visitor.get("")).status_code == 303


async def test_a_session_ends_with_its_token(visitor: Visitor, services: Services) -> None:
    await visitor.sign_in("viewer")
    held = visitor.client.cookies[COOKIE]
    await visitor.sign_in("admin")
    await visitor.post("/tokens/viewer/delete", {})
    visitor.client.cookies.clear()
    visitor.client.cookies.set(COOKIE, held, domain="console", path="/manage")
    assert (await visitor.get("")).status_code == 303


async def test_who_signed_in_from_where_is_on_record(visitor: Visitor, services: Services) -> None:
    visitor.client.headers["x-tollhouse-client-address"] = "192.0.2.7"
    await visitor.sign_in("auditor")
    (record,) = search_audit(services.audit.path, limit=1)
    assert record.fields["action"] == "sign_in"
    assert record.fields["actor"] == {"id": "auditor", "role": "auditor", "via": "token"}
    assert record.fields["client_address"] == "192.0.2.7"


async def test_a_form_that_is_too_large_is_refused(visitor: Visitor) -> None:
    answer = await visitor.post("/sign-in", {"token": "x" * 300_000})
    assert answer.status_code == 413
