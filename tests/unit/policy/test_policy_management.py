"""management.yaml: what it compiles to, and each mistake by place and reason."""

from pathlib import Path

import pytest

from tests.support.policy import SHA256, write_tree
from tollhouse.demo import DEMO_TOKENS
from tollhouse.keys import sha256_hex
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.management import Alerts, Management, ManagementToken, RoleRule, SignInPage
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.secret import Secret

HASH = "ab" * 32
SSO = """\
sso:
  issuer: https://login.acme.test/
  audiences: [tollhouse]
  jwks: https://login.acme.test/keys
  roles:
"""
LEADS = "    - {claim: groups, value: leads, role: team-lead, teams: [web]}\n"
SIGN_IN = """\
  sign_in:
    client_id: console
    authorization_endpoint: https://login.acme.test/authorize
    token_endpoint: https://login.acme.test/token
"""


def tokens(*entries: str) -> str:
    """A file with these tokens; each line of an entry is a field."""
    lines = ["tokens:"]
    for entry in entries:
        first, *rest = entry.splitlines()
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def token(role: str = "admin", more: str = "", name: str = "ops", sha256: str = HASH) -> str:
    return f"id: {name}\nsha256: {sha256}\nrole: {role}\n{more}"


def compiled(directory: Path, text: str) -> Management:
    management = load_snapshot(write_tree(directory, management=text)).management
    assert management is not None
    return management


def test_without_the_file_management_is_off(tmp_path: Path):
    assert load_snapshot(write_tree(tmp_path)).management is None


def test_an_empty_list_of_tokens_lets_nobody_in(tmp_path: Path):
    assert compiled(tmp_path, "tokens: []\n") == Management({}, None, None)


def test_a_token_has_a_role_for_some_teams_and_an_end(tmp_path: Path):
    text = tokens(token("team-lead", "teams: [web]\nexpires: 2030-01-01"))
    found = compiled(tmp_path, text).tokens["ops"]
    # 2030-01-02T00:00:00Z: a date counts through its last second.
    assert found == ManagementToken("ops", HASH, "team-lead", frozenset({"web"}), 1893542400.0)


def test_a_published_token_is_known_as_one(tmp_path: Path):
    text = tokens(token(sha256=sha256_hex(DEMO_TOKENS["demo-admin"])))
    assert compiled(tmp_path, text).tokens["ops"].is_demo


def test_single_sign_on_keeps_its_rules_in_order(tmp_path: Path):
    text = f"{SSO}{LEADS}    - {{claim: email, value: a@acme.test, role: auditor}}\n"
    sign_on = compiled(tmp_path, text).sign_on
    assert sign_on is not None
    assert sign_on.rules == (
        RoleRule("groups", "leads", "team-lead", frozenset({"web"})),
        RoleRule("email", "a@acme.test", "auditor", None),
    )
    assert (sign_on.identity_claim, sign_on.sign_in) == ("email", None)


def test_the_sign_in_page_is_a_public_client_unless_a_secret_is_named(tmp_path: Path):
    sign_on = compiled(tmp_path, f"{SSO}{LEADS}{SIGN_IN}").sign_on
    assert sign_on is not None
    assert sign_on.sign_in == SignInPage(
        "console",
        "https://login.acme.test/authorize",
        "https://login.acme.test/token",
        ("openid", "profile", "email"),
        None,
    )


def test_alerts_have_thresholds_and_a_measure_of_spikes(tmp_path: Path):
    alerts = compiled(tmp_path, "alerts: {webhook: 'file:/run/hook'}\n").alerts
    assert alerts == Alerts(Secret("file", "/run/hook"), (50, 80, 100), 3.0, 10_000_000_000)


def test_a_comment_in_it_makes_no_new_version_and_a_token_does(tmp_path: Path):
    texts = ("tokens: []\n", "# none yet\ntokens: []\n", tokens(token()))
    versions = [
        load_snapshot(write_tree(tmp_path / str(index), management=text)).version
        for index, text in enumerate(texts)
    ]
    assert versions[0] == versions[1] != versions[2]


BAD = [
    (
        tokens(token("boss")),
        "4:11: 'role' must be 'admin', 'platform', 'team-lead', 'viewer' or 'auditor'",
    ),
    (tokens(token("team-lead")), "2:5: a team-lead needs 'teams': the ones that they lead"),
    (
        tokens(token("admin", "teams: [web]")),
        "5:12: 'admin' is for the whole org: leave 'teams' out, or choose another role",
    ),
    (
        tokens(token("viewer", "teams: [wep]")),
        "5:13: unknown team 'wep': did you mean 'web'?",
    ),
    (
        tokens(token(), token(sha256="c" * 64)),
        "5:9: the id 'ops' is used twice, first at line 2",
    ),
    (
        tokens(token(), token(name="b")),
        "6:13: the sha256 abababab… is used twice, first at line 2",
    ),
    (
        tokens(token(sha256=SHA256)),
        "3:13: this is the hash of a proxy key, which may call models and not manage",
    ),
    (
        tokens(token(name="tlm_abc")),
        "2:9: 'id' looks like a key, and ids are logged: write a name for the key",
    ),
    (
        f"{SSO}{LEADS}".replace("jwks: https:", "jwks: http:"),
        "4:9: 'jwks' must begin with https://: what comes from there decides who may manage",
    ),
    (
        f"{SSO}{LEADS}".replace("https://login.acme.test/keys", "file:keys.json"),
        "4:9: 'jwks' must be file:/absolute/path",
    ),
    (
        f"{SSO}{LEADS}".replace("https://login.acme.test/keys", "keys"),
        "4:9: 'jwks' must be a URL such as https://login.example.com/keys, with no user or query",
    ),
    (
        f"{SSO}{LEADS}".replace("[web]", "[ops]"),
        "6:62: unknown team 'ops'; known: web",
    ),
    (
        "alerts: {webhook: https://hooks.example.com/T0/secret}\n",
        "1:19: 'webhook' must name a secret, never be one: write ${VARIABLE} or"
        " file:/absolute/path",
    ),
    (
        "alerts: {webhook: 'file:/hook', spike: {times: 1}}\n",
        "1:48: 'times' must be more than 1",
    ),
]


@pytest.mark.parametrize(("text", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_a_mistake_is_named_by_place_and_reason(text: str, problem: str, tmp_path: Path):
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, management=text))
    assert str(caught.value) == f"management.yaml:{problem}"


def test_nothing_is_said_of_teams_while_a_team_file_cannot_be_read(tmp_path: Path):
    text = tokens(token("viewer", "teams: [ops]"))
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, management=text, teams__ops="team: [\n"))
    assert {each.file for each in caught.value.problems} == {"teams/ops.yaml"}
