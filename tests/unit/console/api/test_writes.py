"""What a write over the API leaves behind: a record of who did what, before it is done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.problems import ManageError
from console.services import Services
from tests.support import console
from tests.support.console import Api
from tests.support.policy import KEY, KEY_ID
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.management import SignInPage


@pytest.fixture
def services(policies: Path, tmp_path: Path, redis_url: str) -> Services:
    return console.services(policies, tmp_path / "state", redis_url)


@pytest.fixture
async def api(services: Services) -> AsyncIterator[Api]:
    async with console.api(services) as client:
        yield client


def records(services: Services) -> list[dict[str, Any]]:
    """Those since the start, whose own record is of the policy that was found."""
    lines = services.audit.path.read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


async def test_a_write_is_recorded_with_who_what_and_from_where(
    api: Api, services: Services, policies: Path
) -> None:
    before = load_snapshot(policies).version
    limits = {"limits": {"requests_per_minute": 7}}
    answer = await api("PATCH", f"/proxy_key/{KEY}", "platform", json=limits)
    assert answer.status_code == 200
    [record] = records(services)
    assert (record["action"], record["target"], record["outcome"]) == (
        "key.change",
        f"key:{KEY_ID}",
        "allowed",
    )
    assert record["actor"] == {"id": "platform", "role": "platform", "via": "token"}
    assert (record["client_address"], record["request_id"]) == ("192.0.2.7", "r-1")
    assert "limits" not in record["before"]
    assert record["after"]["limits"] == {"requests_per_minute": 7}
    after = load_snapshot(policies).version
    assert (record["policy_before"], record["policy_after"]) == (before, after)
    assert before != after
    assert KEY not in services.audit.path.read_text()


async def test_a_refusal_of_a_write_is_recorded_with_its_code(api: Api, services: Services) -> None:
    await api("DELETE", f"/proxy_key/{KEY_ID}", "viewer")
    await api("POST", "/team", "lead", json={"team": "mine"})
    await api("DELETE", f"/proxy_key/{KEY}x", "admin")
    assert [(each["action"], each["target"], each["outcome"], each["code"]) for each in
            records(services)] == [
        ("key.delete", f"key:{KEY_ID}", "refused", "role_not_allowed"),
        ("team.create", "team:mine", "refused", "role_not_allowed"),
        # What was asked for may have been a key.
        ("key.delete", "key:?", "refused", "not_found"),
    ]  # fmt: skip


async def test_reads_and_requests_of_nobody_are_not_recorded(api: Api, services: Services) -> None:
    await api("GET", "/proxy_key")
    await api("POST", "/team", None, json={"team": "mine"})
    assert records(services) == []


async def test_a_read_beyond_a_role_is_recorded_by_the_pattern_of_its_path(
    api: Api, services: Services
) -> None:
    assert (await api("GET", "/audit", "lead")).status_code == 403
    [record] = records(services)
    assert (record["action"], record["target"], record["actor"]["id"]) == (
        "read",
        "path:/manage/audit",
        "lead",
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://["},
        {"origin": "http://a]"},
        {"cookie": "tollhouse_session=x"},
        {"authorization": "Bearer \u00ff"},
    ],
)
async def test_whatever_a_stranger_sends_it_is_no_error_of_ours(
    api: Api, headers: dict[str, str]
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await api("POST", "/team", None, json={"team": "x"}, headers=sent)
    assert answer.status_code in (401, 403)


async def test_the_body_of_a_stranger_is_not_read(api: Api) -> None:
    answer = await api(
        "POST", "/team", None, content="{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 401


async def test_a_session_and_a_sign_in_cannot_be_taken_for_each_other(
    api: Api, services: Services
) -> None:
    page = SignInPage("c", "https://login.test/a", "https://login.test/t", ("openid",), None)
    _, begun = services.code_flow.begin(page, "http://console/callback", "/manage/ui")
    answer = await api("GET", "/usage", None, headers={"cookie": f"tollhouse_session={begun}"})
    assert answer.status_code == 401
    session = services.identity.sessions.seal("00", services.now())
    with pytest.raises(ManageError, match="not begun here"):
        await services.code_flow.finish(page, "x", session, state="s", code="c")


async def test_what_cannot_be_recorded_is_not_done(
    api: Api, services: Services, policies: Path
) -> None:
    text = (policies / "teams/web.yaml").read_text()
    services.audit.path.unlink()
    services.audit.path.mkdir()
    answer = await api("PATCH", f"/proxy_key/{KEY_ID}", json={"expires": "2030-01-01"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "audit_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (policies / "teams/web.yaml").read_text() == text


async def test_an_etag_lets_only_who_has_seen_the_latest_change_it(api: Api) -> None:
    path = f"/proxy_key/{KEY_ID}"
    seen = (await api("GET", path)).headers["etag"]
    other = {"limits": {"requests_per_day": 5}}
    first = await api("PATCH", path, json=other, headers={"if-match": seen})
    assert first.status_code == 200
    late = await api("PATCH", path, json=other, headers={"if-match": seen})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "etag_mismatch")
    again = await api("PATCH", path, json={}, headers={"if-match": first.headers["etag"]})
    assert again.status_code == 200


async def test_an_edit_elsewhere_leaves_an_etag_as_it_was(api: Api) -> None:
    seen = (await api("GET", f"/proxy_key/{KEY_ID}")).headers["etag"]
    await api("PATCH", "/team/ops", json={"owner": "ops@acme.test"})
    assert (await api("GET", f"/proxy_key/{KEY_ID}")).headers["etag"] == seen


async def test_a_body_without_its_content_type_is_told_what_to_send(api: Api) -> None:
    answer = await api("POST", "/team", content='{"team": "x"}')
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["message"]


async def test_a_method_that_is_not_for_a_path_is_told_which_are(api: Api) -> None:
    answer = await api("PUT", "/team/web")
    assert answer.json()["error"]["message"].startswith(
        "This method is not for this path: it takes"
    )


async def test_a_new_key_is_shown_once(api: Api) -> None:
    made = (await api("POST", "/proxy_key", json={"team": "web", "project": "site"})).json()
    shown = await api("GET", f"/proxy_key/{made['id']}")
    listed = await api("GET", "/proxy_key?limit=500")
    assert made["api_key"] not in shown.text + listed.text
    assert shown.headers["cache-control"] == "no-store"


async def test_money_keeps_every_digit(api: Api) -> None:
    limits = '{"limits": {"monthly_spend_usd": 123456.123456789}}'
    answer = await api(
        "PATCH",
        f"/proxy_key/{KEY_ID}",
        content=limits,
        headers={"content-type": "application/json"},
    )
    assert '"monthly_spend_usd":123456.123456789' in answer.text


async def test_a_token_that_is_deleted_is_refused_at_once(api: Api) -> None:
    assert (await api("GET", "/usage", "viewer")).status_code == 200
    assert (await api("DELETE", "/token/viewer")).status_code == 200
    assert (await api("GET", "/usage", "viewer")).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/team/web", 405, "method_not_allowed"),
        ("GET", "/usage?group_by=colour", 400, "invalid_request"),
        ("GET", "/usage?from=2026-02-30", 400, "invalid_request"),
        ("GET", "/errors?from=0001-01-01&to=0001-01-01", 400, "invalid_request"),
        ("GET", "/errors?from=9999-12-31&to=9999-12-31", 400, "invalid_request"),
        ("GET", "/usage?from=2026-03-02&to=2026-03-01", 400, "invalid_request"),
        ("GET", "/policy?since=000000000000", 404, "not_found"),
        ("GET", "/proxy_key?limit=0", 400, "invalid_request"),
        ("POST", "/team", 400, "invalid_request"),
    ],
)
async def test_a_bad_request_has_a_stable_code(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    answer = await api(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "the body is not JSON"),
        ('{"team": "a", "team": "b"}', "the body names a field twice"),
        ('{"team": NaN}', "NaN is no number"),
        ('{"team": ' + "9" * 5000 + "}", "a number that is too long"),
        ('{"team": ' + "[" * 50 + "]" * 50 + "}", "nested too deeply"),
        ('{"tema": "a"}', "did you mean 'team'"),
        ('{"team": "a\\u0000"}', "'team' must be letters"),
        ('{"team": "x", "owner": "' + "o" * 1_100_000 + '"}', "larger than"),
    ],
    ids=lambda text: text[:24],
)
async def test_a_bad_body_is_refused_in_a_sentence(api: Api, body: str, said: str) -> None:
    answer = await api("POST", "/team", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 413)
    assert said in answer.json()["error"]["message"]
