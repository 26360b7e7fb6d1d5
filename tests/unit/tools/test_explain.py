"""`tollhouse explain`: the decision, and every line of the policy behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from authz_service.asked import asked
from authz_service.decision import decide_for
from authz_service.verdicts import Granted
from tests.support.policy import KEY, write_tree
from tests.unit.tools.running import Ran, tollhouse
from tollhouse.policy.compiler import load_snapshot

MODELS = """\
models:
  small:
    provider: openai
    model: gpt-4o-mini
    tags: [cheap]
    max_output_tokens: 1000
    limits: {tokens_per_minute: 9000}
    price: {input_per_million: 0.15, output_per_million: 0.6}
  large: {provider: openai, model: gpt-4o, price: {input_per_million: 2, output_per_million: 8}}
  public: {provider: openai, model: gpt-4.1}
  vectors: {provider: openai, model: text-embedding-3-small, endpoints: [embeddings], tags: [cheap]}
groups:
  chat: [small, large]
"""
ORG = """\
org: acme
environments:
  prod: {}
  staging:
    limits: {requests_per_day: 7}
    denied_models: [public]
"""
WEB = f"""\
team: web
owner: web-leads
limits: {{monthly_spend_usd: 500}}
allowed_models: ["group:chat", public, "tag:cheap"]
projects:
  site:
    denied_models: ["la*"]
    environments:
      staging:
        limits: {{requests_per_minute: 5}}
    keys:
      - id: web-1
        sha256: {"a" * 64}
        env: staging
        expires: 2027-01-01T00:00:00Z
        limits: {{requests_per_minute: 60}}
        model_limits:
          small: {{requests_per_day: 3}}
        shadow: {{denied_models: ["tag:cheap"]}}
      - id: web-2
        sha256: {"b" * 64}
        env: prod
        blocked: true
"""
MORE = f"""\
team: web
project: site
keys:
  - id: web-3
    sha256: {"c" * 64}
    env: prod
    allowed_models: [small]
"""
BEFORE = ("--at", "2026-12-31T23:00:00Z")


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    files = {"org": ORG, "models": MODELS, "teams__web": WEB, "keys__more": MORE}
    return write_tree(tmp_path / "p", **files)


def explain(policies: Path, key: str, *words: str) -> Ran:
    return tollhouse("explain", "--policies", policies, "--key", key, *words)


def rules(policies: Path, key: str, model: str, part: str = "rules") -> list[tuple[str, ...]]:
    found = explain(policies, key, "--model", model, "--format", "json", *BEFORE).data[part]
    prefix = f"{policies}/"
    return [(one["says"], one["entry"], one["at"].removeprefix(prefix)) for one in found]


def test_each_level_says_what_it_says_of_the_alias_by_entry_file_and_line(policies: Path):
    assert rules(policies, "web-1", "small") == [
        ("says nothing", None, "org.yaml:4"),
        ("allows", "group:chat", "teams/web.yaml:4"),
        ("says nothing", None, "teams/web.yaml:6"),
        ("says nothing", None, "teams/web.yaml:9"),
        ("says nothing", None, "teams/web.yaml:12"),
    ]
    assert rules(policies, "web-1", "vectors")[1] == ("allows", "tag:cheap", "teams/web.yaml:4")
    assert rules(policies, "web-1", "large")[2] == ("denies", "la*", "teams/web.yaml:7")
    assert rules(policies, "web-1", "public")[0] == ("denies", "public", "org.yaml:6")


def test_a_key_in_a_file_of_its_own_is_found_there(policies: Path):
    assert rules(policies, "web-3", "small")[-1] == ("allows", "small", "keys/more.yaml:7")
    assert rules(policies, "web-3", "public")[-1] == ("does not allow", None, "keys/more.yaml:7")


def test_a_level_that_blocks_is_a_step(policies: Path):
    steps = rules(policies, "web-2", "small")
    assert ("blocks", None, "teams/web.yaml:23") in steps
    shown = explain(policies, "web-2", "--model", "small")
    assert "REFUSED: 403 key_blocked\n  Key web-2 is blocked (at the key)." in shown.out


def test_a_rule_in_shadow_that_would_refuse_is_shown_apart(policies: Path):
    assert rules(policies, "web-1", "small", "shadow") == [
        ("denies", "tag:cheap", "teams/web.yaml:19")
    ]
    assert rules(policies, "web-1", "large", "shadow") == []
    assert "In shadow, logged as would_deny" in explain(policies, "web-1", "--model", "small").out


def test_every_scope_with_a_limit_is_listed_with_its_value_and_line(policies: Path):
    data = explain(policies, "web-1", "--model", "small", "--format", "json", *BEFORE).data
    limits = [(one["scope"], one["limit"], one["value"], one["at"]) for one in data["limits"]]
    team = f"{policies}/teams/web.yaml"
    assert limits == [
        ("key web-1", "requests_per_minute", 60, f"{team}:16"),
        ("team web", "monthly_spend_usd", "500", f"{team}:3"),
        ("model small", "tokens_per_minute", 9000, f"{policies}/models.yaml:7"),
        ("key web-1 for model small", "requests_per_day", 3, f"{team}:18"),
        ("environment staging of project site", "requests_per_minute", 5, f"{team}:10"),
        ("environment staging of org acme", "requests_per_day", 7, f"{policies}/org.yaml:5"),
    ]


def test_a_key_without_any_limit_is_told_so(tmp_path: Path):
    shown = explain(write_tree(tmp_path), "web-1", "--model", "small")
    assert "\nNo limit applies.\n" in shown.out


def test_price_target_and_what_every_call_reserves_are_told_with_their_source(policies: Path):
    shown = explain(policies, "web-1", "--model", "small", *BEFORE).out.splitlines()
    at = f"{policies}/models.yaml"
    assert shown[-4:] == [
        f"Goes to   openai/gpt-4o-mini at https://api.openai.com/v1"
        f" ({at}:2, {policies}/providers.yaml:2)",
        "Price     $0.15 / $0.60 / $0.15 per million tokens of input / output / cached input"
        f" ({at}:8)",
        "Reserves  input tokens: bytes of the body; output tokens: 1,000;"
        " at most $0.0006, and $0.00015 for each 1,000 bytes",
        f"Expires   2027-01-01T00:00:00Z ({policies}/teams/web.yaml:15)",
    ]
    public = explain(policies, "web-3", "--model", "public").out
    assert "(the public list of genai-prices)" in public
    assert "output tokens: 4,096" in public  # the org's default bounds it


def test_a_model_without_a_price_says_so(tmp_path: Path):
    models = "models:\n  small: {provider: openai, model: nobody-knows-it}\n"
    shown = explain(write_tree(tmp_path, models=models), "web-1", "--model", "small")
    assert "Price     none is known" in shown.out
    assert shown.out.splitlines()[-1].endswith("output tokens: 4,096")


def test_the_time_asked_about_decides_and_is_the_orgs_without_an_offset(policies: Path):
    assert explain(policies, "web-1", "--model", "small", *BEFORE).code == 0
    after = explain(policies, "web-1", "--model", "small", "--at", "2027-01-01")
    assert after.code == 1
    assert "REFUSED: 401 key_expired" in after.out
    (policies / "org.yaml").write_text(ORG + "time_zone: Pacific/Kiritimati\n")
    assert explain(policies, "web-1", "--model", "small", "--at", "2027-01-01").code == 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/chat/completions?x=1", "allowed"),
        ("/v1/embeddings", "endpoint_not_allowed"),
        ("/v1/batches", "endpoint_not_allowed"),
        ("/v2", "unknown_endpoint"),
        ("/v1/models", "allowed"),
        ("/v1/models/large", "model_not_allowed"),
    ],
)
def test_the_path_that_is_asked_about_decides(policies: Path, path: str, code: str):
    words = ("--model", "small", "--path", path, "--format", "json", *BEFORE)
    shown = explain(policies, "web-1", *words)
    assert (shown.data["decision"], shown.code) == (code, int(code != "allowed"))


def test_without_a_model_all_are_told_with_why(policies: Path):
    shown = explain(policies, "web-1", *BEFORE)
    assert shown.code == 0
    assert [line.split()[:2] for line in shown.out.splitlines()] == [
        *(["large", "no"], ["public", "no"], ["small", "yes"], ["vectors", "yes"])
    ]
    large = " ".join(shown.out.splitlines()[0].split())
    assert large == f"large no the project 'site' denies it by la* {policies}/teams/web.yaml:7"
    data = explain(policies, "web-1", "--format", "json", *BEFORE).data
    assert {one["alias"]: one["decision"] for one in data} == {
        **{"large": "model_not_allowed", "public": "model_not_allowed"},
        **{"small": "allowed", "vectors": "allowed"},
    }


def test_a_key_that_may_call_nothing_is_refused_and_told_why(policies: Path, tmp_path: Path):
    blocked = explain(policies, "web-2")
    assert blocked.code == 1
    assert "the key 'web-2' blocks every call" in blocked.out
    expired = explain(policies, "web-1", "--at", "2030-01-01")
    assert (expired.code, expired.out.count("key_expired")) == (1, 4)
    nothing = write_tree(
        tmp_path / "n",
        teams__web=WEB.replace('allowed_models: ["group', "#"),
        models=MODELS,
        org=ORG,
    )
    assert explain(nothing, "web-1", *BEFORE).out.count("no level has allowed_models") == 2


def test_demo_keys_are_blocked_unless_they_are_asked_for():
    example = Path(__file__).parents[3] / "policies"
    words = ("--model", "gpt4_limited")
    assert "published demo key" in explain(example, "marketing-website-prod-1", *words).out
    assert explain(example, "marketing-website-prod-1", *words, "--demo-keys").code == 0


def test_the_answer_is_the_services_own(policies: Path):
    snapshot = load_snapshot(policies)
    for key in snapshot.keys.values():
        found = explain(policies, key.id, "--format", "json", *BEFORE).data
        for one in found:
            path = "/v1/embeddings" if one["alias"] == "vectors" else "/v1/chat/completions"
            decision = decide_for(snapshot, key, asked(path, one["alias"]), 1_790_000_000)
            assert one["allowed"] == isinstance(decision, Granted)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("web-4",), "no key has the id 'web-4': did you mean 'web-3'?"),
        (("web-1", "--model", "smal"), "unknown model 'smal': did you mean 'small'?"),
        (("web-1", "--at", "soon"), "'soon' is not a time such as 2026-12-01T12:00:00Z"),
    ],
)
def test_a_mistake_is_answered_with_what_to_write(policies: Path, words: tuple[str], said: str):
    shown = explain(policies, *words)
    assert shown.err.startswith(f"error: {said}")
    assert (shown.code, shown.out) == (2, "")


@pytest.mark.parametrize("words", [("{}",), ("web-1", "--model", "{}")])
@pytest.mark.parametrize("key", [KEY, "sk-proj-abc"], ids=["ours", "theirs"])
def test_a_key_typed_instead_of_an_id_is_refused_and_not_repeated(
    policies: Path, words: tuple[str, ...], key: str
):
    shown = explain(policies, *(word.format(key) for word in words))
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("error: that looks like a key")
    assert key not in shown.err


def test_a_policy_that_would_not_be_taken_is_told_with_its_problems(policies: Path):
    (policies / "org.yaml").write_text("org: [a]\nenvironments: {prod: {}, staging: {}}\n")
    shown = explain(policies, "web-1")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.splitlines() == [
        f"{policies}/org.yaml:1:6: 'org' must be text, not a list",
        f"1 problem(s): {policies} would not be taken.",
    ]
    nowhere = explain(policies / "nowhere", "web-1")
    assert nowhere.err.startswith(f"{policies}/nowhere:1:1: not a directory that can be read")
