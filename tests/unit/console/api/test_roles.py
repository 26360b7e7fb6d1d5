"""Who may call what: every endpoint with every role, and with none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.app import create_app
from console.permissions import MAY
from tests.support import console
from tests.support.console import TOKENS, Api
from tests.support.policy import KEY, KEY_ID
from tollhouse import keys


@dataclass(frozen=True)
class Call:
    """An endpoint, and a request to it that succeeds for whoever may. `about`: of which team."""

    method: str
    path: str
    needs: str
    body: dict[str, Any] | None = None
    made: int = 200
    about: str | None = "web"
    pattern: str = ""


CALLS = [
    Call("POST", "/proxy_key", "key.write", {"team": "web", "project": "site"}, 201),
    Call("GET", "/proxy_key", "key.read", about=None),
    Call("GET", f"/proxy_key/{KEY_ID}", "key.read", pattern="/proxy_key/{ref}"),
    Call("GET", f"/proxy_key/{KEY_ID}/limits", "key.read", pattern="/proxy_key/{ref}/limits"),
    Call("PATCH", f"/proxy_key/{KEY_ID}", "key.write", {}, pattern="/proxy_key/{ref}"),
    Call("POST", f"/proxy_key/{KEY_ID}/rotate", "key.write", {}, pattern="/proxy_key/{ref}/rotate"),
    Call("POST", f"/proxy_key/{KEY_ID}/block", "key.write", {}, pattern="/proxy_key/{ref}/block"),
    Call("POST", f"/proxy_key/{KEY_ID}/unblock", "key.write", pattern="/proxy_key/{ref}/unblock"),
    Call("DELETE", f"/proxy_key/{KEY_ID}", "key.write", pattern="/proxy_key/{ref}"),
    Call("POST", "/team", "team.write", {"team": "new"}, 201, about="new"),
    Call("GET", "/team", "team.read", about=None),
    Call("GET", "/team/web", "team.read", pattern="/team/{team}"),
    Call("GET", "/team/web/limits", "team.read", pattern="/team/{team}/limits"),
    Call("PATCH", "/team/web", "team.write", {"owner": "o"}, pattern="/team/{team}"),
    Call("DELETE", "/team/ops", "team.write", about="ops", pattern="/team/{team}"),
    Call("POST", "/project", "project.write", {"team": "web", "project": "p"}, 201),
    Call("GET", "/project", "project.read", about=None),
    Call("GET", "/project/web/site", "project.read", pattern="/project/{team}/{project}"),
    Call(
        "GET",
        "/project/web/site/limits",
        "project.read",
        pattern="/project/{team}/{project}/limits",
    ),
    Call("PATCH", "/project/web/site", "project.write", {}, pattern="/project/{team}/{project}"),
    Call(
        "DELETE",
        "/project/ops/backup",
        "project.write",
        about="ops",
        pattern="/project/{team}/{project}",
    ),
    Call(
        "POST",
        "/model",
        "model.write",
        {"alias": "new", "provider": "openai", "model": "gpt-4o"},
        201,
        about=None,
    ),
    Call("GET", "/model", "model.read", about=None),
    Call("GET", "/model/small", "model.read", about=None, pattern="/model/{alias}"),
    Call("PATCH", "/model/small", "model.write", {}, about=None, pattern="/model/{alias}"),
    Call("DELETE", "/model/spare", "model.write", about=None, pattern="/model/{alias}"),
    Call("POST", "/token", "token.write", {"id": "t", "role": "viewer"}, 201, about=None),
    Call("GET", "/token", "token.read", about=None),
    Call("DELETE", "/token/viewer", "token.write", about=None, pattern="/token/{token_id}"),
    Call("GET", "/usage", "usage.read", about=None),
    Call("GET", "/errors", "error.read", about=None),
    Call("GET", "/policy", "policy.read", about=None),
    Call("GET", "/audit", "audit.read", about=None),
]
ROLES = {
    "admin": ("admin", None),
    "platform": ("platform", None),
    "lead": ("team-lead", "web"),
    "viewer": ("viewer", None),
    "webviewer": ("viewer", "web"),
    "auditor": ("auditor", None),
}
OF_THE_ORG = {"model.write", "policy.read", "audit.read", "token.read", "token.write"}
UNKNOWN = {
    "nobody": None,
    "a proxy key": KEY,
    "an unknown token": keys.generate(keys.MANAGEMENT_PREFIX),
}


def wanted(call: Call, name: str) -> set[int]:
    """What the endpoint must answer to this token."""
    role, team = ROLES[name]
    if call.needs not in MAY[role]:
        return {403}
    if team is None:
        return {call.made}
    if call.needs in OF_THE_ORG:
        return {403}
    # What is of another team is not there for them, or not theirs to make.
    return {call.made} if call.about in (None, team) else {403, 404}


def texts(policies: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in policies.rglob("*.yaml")}


def put_back(policies: Path, before: dict[Path, str]) -> None:
    for path in texts(policies).keys() - before.keys():
        path.unlink()
    for path, text in before.items():
        path.write_text(text)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
async def test_each_role_may_what_the_table_says_and_nothing_else(
    call: Call, api: Api, policies: Path
) -> None:
    before, answered = texts(policies), {}
    for name in ROLES:
        answer = await api(call.method, call.path, name, json=call.body)
        answered[name] = answer.status_code
        if answer.status_code >= 400:
            assert texts(policies) == before, name
            assert answer.json()["error"]["code"] in ("role_not_allowed", "not_found")
        put_back(policies, before)
    allowed = {name: sorted(wanted(call, name)) for name in ROLES}
    assert {name: status in allowed[name] for name, status in answered.items()} == dict.fromkeys(
        ROLES, True
    ), (answered, allowed)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
async def test_who_has_no_management_token_may_nothing(
    call: Call, api: Api, policies: Path
) -> None:
    before = texts(policies)
    for token in UNKNOWN.values():
        headers = {"authorization": f"Bearer {token}"} if token else {}
        answer = await api(call.method, call.path, None, json=call.body, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="tollhouse"'
        assert answer.json()["error"]["code"] in ("invalid_token", "proxy_key_not_accepted")
    assert texts(policies) == before


async def test_the_matrix_has_every_endpoint_of_the_published_document(
    policies: Path, tmp_path: Path, redis_url: str
) -> None:
    built = console.services(policies, tmp_path / "other", redis_url)
    document = create_app(built).openapi()
    await built.readings.close()
    published = {
        (method.upper(), path.removeprefix("/manage"))
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert {(call.method, call.pattern or call.path) for call in CALLS} == published
    print(f"\n{len(CALLS)} endpoints x {len(TOKENS)} roles and {len(UNKNOWN)} without one")
