"""The management API through the real Envoy: the walkthrough of the docs, and who cannot get in."""

from __future__ import annotations

import base64
import concurrent.futures
import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.gateway import Gateway, running, wait_for
from tests.support.idp import IdentityProvider
from tests.support.managed import ADMIN, KEY, LEAD, chat, example_tree, manage
from tests.support.programs import required

PAGE = Path(__file__).parents[2] / "docs/management.md"


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider().running() as found:
        yield found


@pytest.fixture(scope="module")
def managed(
    tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider
) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("managed")
    tree = example_tree(root / "policies")
    roles = (
        "    - {claim: groups, value: leads, role: team-lead, teams: [marketing]}\n"
        "    - {claim: groups, value: audit, role: auditor}\n"
    )
    path = tree / "management.yaml"
    path.write_text(path.read_text() + provider.policy(roles))
    with running(tree, root / "run") as gateway:
        yield gateway


# The walkthrough

EXPECTED = [
    [201],  # a key that may call one model
    [200],  # works at once
    [403],  # another model is refused
    [200],  # PATCH
    [200, 200, 200],  # what it is, has used, and has left
    [422],  # more than its team may
    [200, 200, 200, 200],  # blocked, unblocked, rotated, deleted
]


def shown_calls() -> list[str]:
    """The blocks of the walkthrough that call."""
    section = PAGE.read_text().partition("## A walkthrough")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if block.startswith("curl")]


def run_block(block: str, environment: dict[str, str]) -> list[tuple[int, Any]]:
    """Status and JSON of each curl of a block."""
    required("curl", "curl")
    script = block.replace("curl -s", "curl -s -w '\\n%{http_code}\\n'")
    done = subprocess.run(
        [required("bash", "bash"), "-euc", script],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = re.findall(r"(.*?)\n(\d{3})\n", done.stdout, re.DOTALL)
    return [(int(status), json.loads(body)) for body, status in answers]


def test_every_curl_of_the_walkthrough_does_what_the_page_says(managed: Gateway) -> None:
    environment = {"ENDPOINT": managed.endpoint, "ADMIN_TOKEN": managed.up["admin_token"]}
    answers = []
    for block in shown_calls():
        answers.append(run_block(block, environment))
        body = answers[-1][0][1]
        environment.setdefault("KEY", body.get("api_key", ""))
    assert [[status for status, _ in some] for some in answers] == EXPECTED
    created, used = answers[0][0][1], answers[4][2][1]
    assert created["metadata"] == {"owner": "ann@example.com"}
    assert created["limits"]["monthly_spend_usd"] == 50
    assert answers[2][0][1]["error"]["code"] == "model_not_allowed"
    assert answers[3][0][1]["models"] == ["gpt4_limited", "mistral_small"]
    # A refusal has a row of its own, once it is counted.
    assert sum(row["requests"] for row in used["data"] if row["key"] == created["id"]) == 1
    refused = answers[5][0][1]["error"]
    assert (refused["code"], refused["details"]["level"]) == ("exceeds_level", "team")
    print(f"\n{sum(map(len, answers))} curls of the walkthrough, all as the page says")


# What was used, and what went wrong


def test_finance_reads_the_month_by_team_and_it_is_what_the_ledger_counted(
    managed: Gateway,
) -> None:
    for _ in range(3):
        assert chat(managed, KEY).status_code == 200
    settled = [line for line in managed.log_lines() if "reservation_id" in str(line)]
    managed.wait_settled(len(settled))
    months = manage(managed, "GET", "/usage?group_by=team").json()
    by_team = {row["team"]: row["cost_usd"] for row in months["data"]}
    assert months["total"]["cost_usd"] == pytest.approx(sum(by_team.values()), abs=1e-12)
    page = manage(managed, "GET", "/usage?group_by=team&format=csv")
    assert page.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(page.text.splitlines()))
    assert {row["team"]: float(row["cost_usd"]) for row in rows} == by_team
    told = subprocess.run(
        [
            *(sys.executable, "-m", "tollhouse", "ledger", "usage", "marketing", "--json"),
            *("--policies", managed.up["policies"], "--redis-url", managed.up["redis_url"]),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    nano = sum(round(float(row["cost_usd"]) * 1e9) for row in json.loads(told.stdout))
    assert round(by_team["marketing"] * 1e9) == nano > 0
    live = manage(managed, "GET", "/team/marketing/limits").json()["data"][0]
    spent = next(limit for limit in live["limits"] if limit["name"] == "monthly_spend_usd")
    assert round(spent["used"] * 1e9) == nano


def test_errors_are_counted_by_code_and_the_latest_are_shown_with_their_reason(
    managed: Gateway,
) -> None:
    refused = chat(managed, KEY, "claude_standard")
    request_id = refused.headers["x-request-id"]

    def found() -> dict[str, Any] | None:
        told = manage(managed, "GET", "/errors?team=marketing&code=model_not_allowed").json()
        lines = [line for line in told["data"] if line["request_id"] == request_id]
        return told if lines and told["summary"] else None

    told = wait_for(found, "the refusal in the log and in the ledger")
    line = next(line for line in told["data"] if line["request_id"] == request_id)
    assert (line["status"], line["key"], line["team"]) == (
        403,
        "marketing-website-prod-1",
        "marketing",
    )
    assert told["summary"][0]["code"] == "model_not_allowed"
    assert manage(managed, "GET", "/errors?team=research", LEAD).status_code == 403


# Who cannot get in


def test_a_key_manages_nothing_and_a_management_token_calls_nothing(managed: Gateway) -> None:
    assert manage(managed, "GET", "/proxy_key", KEY).json()["error"]["code"] == (
        "proxy_key_not_accepted"
    )
    refused = chat(managed, ADMIN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_what_only_envoy_may_say_counts_for_nothing_from_a_client(managed: Gateway) -> None:
    claims = base64.urlsafe_b64encode(b'{"sub":"me","groups":["audit"]}').decode()
    for name in ("x-tollhouse-identity", "X-Tollhouse-Identity"):
        refused = manage(managed, "GET", "/policy", None, headers={name: claims})
        assert refused.status_code == 401
    address = {"x-tollhouse-client-address": "203.0.113.9"}
    manage(managed, "POST", "/team", json={"team": "from-elsewhere"}, headers=address)
    assert '"203.0.113.9"' not in audit_text(managed)
    assert '"client_address":"127.0.0.1"' in audit_text(managed)


@pytest.mark.parametrize(
    "path",
    [
        "/managed/proxy_key",
        "/MANAGE/proxy_key",
        "/v1/../manage/../v1/chat/completions",
        "/manage/../v1/models",
    ],
)
def test_paths_that_only_look_like_management_need_a_key(managed: Gateway, path: str) -> None:
    answer = managed.http.get(path, headers={"authorization": f"Bearer {ADMIN}"})
    assert answer.status_code in (401, 404)
    assert answer.headers["x-tollhouse-decision"] in ("invalid_api_key", "unknown_endpoint")


# Single sign-on


def test_a_jwt_of_the_company_is_good_for_the_role_that_its_groups_give(
    managed: Gateway, provider: IdentityProvider
) -> None:
    token = provider.token(email="ann@acme.test", groups=["x", "leads"])
    listed = manage(managed, "GET", "/proxy_key", token)
    assert listed.status_code == 200
    assert {key["team"] for key in listed.json()["data"]} == {"marketing"}
    refused = manage(managed, "POST", "/team", token, json={"team": "mine"})
    assert refused.status_code == 403
    assert refused.json()["error"]["message"].startswith("ann@acme.test is team-lead")
    assert manage(managed, "GET", "/policy", provider.token(groups=["audit"])).status_code == 200


def unsigned(provider: IdentityProvider) -> str:
    claims = jwt.decode(provider.token(groups=["audit"]), options={"verify_signature": False})
    return jwt.encode(claims, None, algorithm="none")


BAD_TOKENS = {
    "another audience": lambda idp: idp.token(aud="other", groups=["audit"]),
    "another issuer": lambda idp: idp.token(iss="https://evil.test", groups=["audit"]),
    "expired": lambda idp: idp.token(exp=1_700_000_000, groups=["audit"]),
    "no expiry": lambda idp: idp.token(exp=None, groups=["audit"]),
    "another key": lambda idp: idp.token(
        rsa.generate_private_key(public_exponent=65537, key_size=2048), groups=["audit"]
    ),
    "no signature": unsigned,
    "changed": lambda idp: idp.token(groups=["audit"])[:-6] + "AAAAAA",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
@pytest.mark.parametrize("where", ["header", "cookie"])
def test_a_jwt_that_does_not_verify_is_nobody(
    managed: Gateway, provider: IdentityProvider, name: str, where: str
) -> None:
    token = BAD_TOKENS[name](provider)
    sent = (
        {"authorization": f"Bearer {token}"}
        if where == "header"
        else {"cookie": f"tollhouse_sso={token}"}
    )
    refused = manage(managed, "GET", "/policy", None, headers=sent)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_token")
    assert token not in refused.text


def test_a_jwt_without_a_role_may_nothing(managed: Gateway, provider: IdentityProvider) -> None:
    refused = manage(managed, "GET", "/usage", provider.token(groups=["others"]))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_not_allowed")


# Writers


def test_twenty_writers_at_once_lose_no_update(managed: Gateway) -> None:
    def make(number: int) -> int:
        body = {
            "team": "research",
            "project": "notebooks",
            "env": "staging",
            "id": f"writer-{number}",
            "limits": {"requests_per_minute": number + 1},
        }
        status = manage(managed, "POST", "/proxy_key", json=body, timeout=60).status_code
        limits = {"limits": {"requests_per_day": number + 1}}
        changed = manage(managed, "PATCH", f"/proxy_key/writer-{number}", json=limits, timeout=60)
        return status if changed.status_code == 200 else changed.status_code

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(make, range(20)))
    assert statuses == [201] * 20
    text = (Path(managed.up["policies"]) / "teams/research.yaml").read_text()
    keys = yaml.safe_load(text)["projects"]["notebooks"]["keys"]
    written = {key["id"]: key.get("limits") for key in keys if key["id"].startswith("writer-")}
    assert written == {
        f"writer-{n}": {"requests_per_minute": n + 1, "requests_per_day": n + 1} for n in range(20)
    }
    original = (PAGE.parents[1] / "policies/teams/research.yaml").read_text()
    assert [line for line in original.splitlines() if line.lstrip().startswith("#")] == [
        line for line in text.splitlines() if line.lstrip().startswith("#")
    ]
    print(f"\n20 writers, 40 writes: {len(written)} keys with both limits, every comment kept")


# What is left behind


def audit_text(gateway: Gateway) -> str:
    return (gateway.run_dir / "console/audit.json").read_text()


def test_an_edit_by_hand_is_in_the_audit_log_with_what_it_changed(managed: Gateway) -> None:
    path = Path(managed.up["policies"]) / "teams/sales.yaml"
    path.write_text(path.read_text().replace("monthly_spend_usd: ", "monthly_spend_usd: 1"))

    def recorded() -> bool:
        last = json.loads(audit_text(managed).splitlines()[-1])
        return last["action"] == "policy.changed" and "sales" in json.dumps(last["after"])

    wait_for(recorded, "the record of an edit by hand")


def test_the_audit_log_of_all_this_is_whole(managed: Gateway) -> None:
    log = managed.run_dir / "console/audit.json"
    done = subprocess.run(
        [sys.executable, "-m", "tollhouse", "audit", "verify", str(log)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_key_or_token_that_stood_in_a_path_is_in_a_log(managed: Gateway) -> None:
    made = manage(
        managed, "POST", "/proxy_key", json={"team": "marketing", "project": "p2", "env": "prod"}
    ).json()
    key = made["api_key"]
    assert manage(managed, "GET", f"/proxy_key/{key}").json()["id"] == made["id"]
    assert manage(managed, "GET", f"/proxy_key/{LEAD}").status_code == 404
    wait_for(
        lambda: "/manage/proxy_key/tlm_…" in Path(managed.up["access_log"]).read_text(),
        "the log line",
    )
    left = [path.read_text() for path in (managed.run_dir / "logs").glob("*.log")]
    left += [Path(managed.up["access_log"]).read_text(), audit_text(managed)]
    assert not any(key in text or LEAD in text or ADMIN in text for text in left)


# Signing in with a browser


def test_a_browser_signs_in_at_the_company_and_comes_back_to_the_page_it_wanted(
    managed: Gateway, provider: IdentityProvider
) -> None:
    provider.claims = {"email": "ann@acme.test", "groups": ["leads"]}
    with httpx.Client(base_url=managed.endpoint, follow_redirects=True, trust_env=False) as browser:
        door = browser.get("/manage/ui/keys")
        assert "Sign in with single sign-on" in door.text
        page = browser.get("/manage/ui/sso/sign-in?next=/manage/ui/keys")
        assert page.url.path == "/manage/ui/keys"
        assert "ann@acme.test" in page.text
        exchanged = provider.exchanged[-1]
        assert exchanged["redirect_uri"] == f"{managed.endpoint}/manage/ui/sso/callback"
        assert len(exchanged["code_verifier"]) >= 43
        browser.cookies.delete("tollhouse_sso", path="/manage")
        assert browser.get("/manage/ui/keys").url.path == "/manage/ui/sign-in"
    assert '"action":"sign_in"' in audit_text(managed)


def test_a_sign_in_that_was_begun_elsewhere_is_refused(
    managed: Gateway, provider: IdentityProvider
) -> None:
    with httpx.Client(base_url=managed.endpoint, trust_env=False) as browser:
        for query in ("code=x&state=y", "error=access_denied", ""):
            refused = browser.get(f"/manage/ui/sso/callback?{query}")
            assert refused.status_code == 401
            assert "tollhouse_sso" not in refused.cookies
        begun = browser.get("/manage/ui/sso/sign-in").headers["location"]
        state = parse_qs(urlsplit(begun).query)["state"][0]
        bad = browser.get("/manage/ui/sso/callback", params={"code": "bad", "state": state})
        assert "gave no ID token (status 400)" in bad.text
