"""Who asks: by token, by a JWT that Envoy verified, by a browser's session."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from console.actors import Actor
from console.identity.asking import Asking, Identity
from console.identity.sessions import COOKIE, SECONDS, Sessions
from console.problems import ManageError
from tests.support.policy import KEY, write_tree
from tollhouse import keys
from tollhouse.contract import IDENTITY_HEADER
from tollhouse.demo import DEMO_TOKENS
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

NOW = 1_800_000_000.0
TOKEN = keys.generate(keys.MANAGEMENT_PREFIX)
OLD = keys.generate(keys.MANAGEMENT_PREFIX)
LEAD = keys.generate(keys.MANAGEMENT_PREFIX)

MANAGEMENT = f"""\
tokens:
  - {{id: ops, sha256: {keys.sha256_hex(TOKEN)}, role: admin}}
  - {{id: old, sha256: {keys.sha256_hex(OLD)}, role: admin, expires: 2020-01-01}}
  - {{id: lead, sha256: {keys.sha256_hex(LEAD)}, role: team-lead, teams: [web]}}
  - {{id: demo, sha256: {keys.sha256_hex(DEMO_TOKENS["demo-admin"])}, role: admin}}
sso:
  issuer: https://login.acme.test/
  audiences: [console, tollhouse]
  jwks: https://login.acme.test/keys
  roles:
    - {{claim: groups, value: leads, role: team-lead, teams: [web]}}
    - {{claim: realm.roles, value: audit, role: auditor}}
    - {{claim: "https://acme.test/role", value: viewer, role: viewer}}
"""
SEALING = Sessions(Fernet(Fernet.generate_key()))
IDENTITY = Identity(SEALING, allow_demo=False)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return load_snapshot(write_tree(tmp_path_factory.mktemp("policy"), management=MANAGEMENT))


def asking(method: str = "GET", cookies: dict[str, str] | None = None, **headers: str) -> Asking:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Asking(method, named, cookies or {})


def payload(**claims: Any) -> dict[str, str]:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return {IDENTITY_HEADER.replace("-", "_"): text}


def refusal(snapshot: Snapshot, asked: Asking, identity: Identity = IDENTITY) -> ManageError:
    with pytest.raises(ManageError) as caught:
        identity.actor(asked, snapshot, NOW)
    return caught.value


def test_a_token_is_who_the_policy_says(snapshot: Snapshot):
    for text, actor in (
        (TOKEN, Actor("ops", "admin", None, "token")),
        (LEAD, Actor("lead", "team-lead", frozenset({"web"}), "token")),
    ):
        assert IDENTITY.actor(asking(authorization=f"Bearer {text}"), snapshot, NOW) == actor
        assert IDENTITY.actor(asking(authorization=f"bearer  {text}"), snapshot, NOW) == actor


REFUSED = {
    "nothing": ({}, "invalid_token", "Nobody is signed in. Send a management token"),
    "basic": ({"authorization": "Basic b3BzOng="}, "invalid_token", "Nobody is signed in"),
    "unknown": (
        {"authorization": f"Bearer {keys.generate(keys.MANAGEMENT_PREFIX)}"},
        "invalid_token",
        "This management token is not known",
    ),
    "mistyped": ({"authorization": f"Bearer {TOKEN[:-1]}!"}, "invalid_token", "is mistyped"),
    "expired": (
        {"authorization": f"Bearer {OLD}"},
        "token_expired",
        "The management token old has expired",
    ),
    "demo": (
        {"authorization": f"Bearer {DEMO_TOKENS['demo-admin']}"},
        "invalid_token",
        "This management token is not known",
    ),
    "proxy key": (
        {"authorization": f"Bearer {KEY}"},
        "proxy_key_not_accepted",
        "This is a key for calling models: it manages nothing",
    ),
    "unknown proxy key": (
        {"authorization": f"Bearer {keys.generate()}"},
        "proxy_key_not_accepted",
        "This is a key for calling models",
    ),
    "jwt": (
        {"authorization": "Bearer a.b.c"},
        "invalid_token",
        "it must be from https://login.acme.test/, for console, tollhouse, signed by one of its"
        " present keys, and not expired",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_good_token_is_refused_and_not_repeated(name: str, snapshot: Snapshot):
    headers, code, said = REFUSED[name]
    error = refusal(snapshot, asking(**headers))
    assert (error.code, error.status) == (code, 401)
    assert said in error.message
    for word in headers.get("authorization", "").split()[1:]:
        assert word not in error.message


def test_a_published_token_is_good_where_that_is_wanted(snapshot: Snapshot):
    asked = asking(authorization=f"Bearer {DEMO_TOKENS['demo-admin']}")
    assert Identity(SEALING, allow_demo=True).actor(asked, snapshot, NOW).id == "demo"


@pytest.mark.parametrize(
    ("claims", "actor"),
    [
        (
            {"email": "ann@acme.test", "groups": ["x", "leads"]},
            Actor("ann@acme.test", "team-lead", frozenset({"web"}), "sso"),
        ),
        ({"sub": "u1", "groups": "leads"}, Actor("u1", "team-lead", frozenset({"web"}), "sso")),
        ({"sub": "u1", "realm": {"roles": ["audit"]}}, Actor("u1", "auditor", None, "sso")),
        ({"sub": "u1", "https://acme.test/role": "viewer"}, Actor("u1", "viewer", None, "sso")),
        # The first rule that fits, whatever else would.
        (
            {"sub": "u1", "groups": ["leads"], "realm": {"roles": ["audit"]}},
            Actor("u1", "team-lead", frozenset({"web"}), "sso"),
        ),
    ],
)
def test_a_verified_jwt_is_who_its_claims_say(
    claims: dict[str, Any], actor: Actor, snapshot: Snapshot
):
    assert IDENTITY.actor(asking(**payload(**claims)), snapshot, NOW) == actor


@pytest.mark.parametrize(
    ("claims", "code", "said"),
    [
        ({"sub": "u1"}, "role_not_allowed", "u1 is signed in, and no rule under sso.roles"),
        ({"sub": "u1", "groups": "many leads"}, "role_not_allowed", "no rule"),
        ({"sub": "u1", "groups": {"leads": True}}, "role_not_allowed", "no rule"),
        ({"groups": ["leads"]}, "invalid_token", "it has neither 'email' nor 'sub' as text"),
        ({"sub": "a\nb", "groups": ["leads"]}, "invalid_token", "names nobody"),
        ({"sub": ["u1"], "groups": ["leads"]}, "invalid_token", "names nobody"),
    ],
)
def test_a_verified_jwt_without_a_role_or_a_name_may_do_nothing(
    claims: dict[str, Any], code: str, said: str, snapshot: Snapshot
):
    error = refusal(snapshot, asking(**payload(**claims)))
    assert error.code == code
    assert said in error.message


@given(st.text(alphabet="ABCabc09-_=.", max_size=60))
def test_a_payload_that_cannot_be_read_is_refused(text: str):
    from console.identity.sign_on import actor_of  # noqa: PLC0415
    from tollhouse.policy.management import SingleSignOn  # noqa: PLC0415

    sign_on = SingleSignOn("i", ("a",), "file:/k", "email", (), None)
    with pytest.raises(ManageError):
        actor_of(text, sign_on)


def test_a_payload_counts_for_nothing_where_there_is_no_single_sign_on(tmp_path: Path):
    tokens = MANAGEMENT.partition("sso:")[0]
    without = load_snapshot(write_tree(tmp_path, management=tokens))
    error = refusal(without, asking(**payload(sub="u1", groups=["leads"])))
    assert error.code == "invalid_token"


def test_a_session_is_good_for_its_time_and_while_the_token_is_in_the_policy(
    snapshot: Snapshot, tmp_path: Path
):
    cookies = {COOKIE: SEALING.seal(keys.sha256_hex(TOKEN), NOW)}
    assert IDENTITY.actor(asking(cookies=cookies), snapshot, NOW + SECONDS).id == "ops"
    with pytest.raises(ManageError, match="Nobody is signed in"):
        IDENTITY.actor(asking(cookies=cookies), snapshot, NOW + SECONDS + 1)
    gone = load_snapshot(write_tree(tmp_path, management="tokens: []\n"))
    assert refusal(gone, asking(cookies=cookies)).code == "invalid_token"


def test_a_session_sealed_elsewhere_is_none(snapshot: Snapshot):
    other = Sessions(Fernet(Fernet.generate_key()))
    cookies = {COOKIE: other.seal(keys.sha256_hex(TOKEN), NOW)}
    assert refusal(snapshot, asking(cookies=cookies)).code == "invalid_token"
    assert refusal(snapshot, asking(cookies={COOKIE: "x"})).code == "invalid_token"


def test_the_key_that_seals_is_kept_and_nobody_else_can_read_it(tmp_path: Path):
    path = tmp_path / "session.key"
    cookie = Sessions.kept_in(path).seal("00", NOW)
    assert Sessions.kept_in(path).open(cookie, NOW) == "00"
    assert path.stat().st_mode & 0o077 == 0


CROSS = [
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"origin": "https://evil.test", "host": "llm.acme.test"},
    {"origin": "null", "host": "llm.acme.test"},
]


@pytest.mark.parametrize("headers", CROSS)
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE", "PUT"])
def test_a_page_elsewhere_cannot_use_a_session(
    headers: dict[str, str], method: str, snapshot: Snapshot
):
    cookies = {COOKIE: SEALING.seal(keys.sha256_hex(TOKEN), NOW)}
    error = refusal(snapshot, asking(method, cookies, **headers))
    assert (error.code, error.status) == ("cross_site_request", 403)


def test_the_consoles_own_pages_and_programs_can_write(snapshot: Snapshot):
    cookies = {COOKIE: SEALING.seal(keys.sha256_hex(TOKEN), NOW)}
    for headers in (
        {"sec_fetch_site": "same-origin", "origin": "https://llm.acme.test:8443"},
        {"sec_fetch_site": "none"},
        {},
    ):
        asked = asking("POST", cookies, host="llm.acme.test:8443", **headers)
        assert IDENTITY.actor(asked, snapshot, NOW).id == "ops"
