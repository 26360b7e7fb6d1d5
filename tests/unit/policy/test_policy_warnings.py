"""One minimal suspicious policy for each warning: its code, and where it points."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.policy import SHA256, TREE, team, write_tree
from tollhouse.policy import loader
from tollhouse.policy.compiler import compile_tree
from tollhouse.policy.warnings.collect import warnings_of
from tollhouse.policy.warnings.view import Warned

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2027, 1, 1, tzinfo=UTC)
QUIET = {
    "org": "org: acme\nowner: a@example.com\n",
    "models": TREE["models.yaml"].replace("    tags: [cheap]\n", ""),
}
TWO = QUIET["models"] + "  large: {provider: openai, model: gpt-4o}\n"
TEN = "requests_per_minute: 10"
PRICE = "price: {input_per_million: 1, output_per_million: 1}"
FALLING = f"  gpt4: {{provider: openai, model: gpt-4o, {PRICE}, fallbacks: [small]}}\n"
UPLOADS = f"  uploads: {{provider: openai, endpoints: [files], {PRICE}}}\n"
OLD = f"previous: [{{sha256: '{'0' * 64}', valid_until: 2026-06-01}}]"


def _allows(models: str, key_lines: str = "") -> str:
    return team(key_lines).replace("[small]", f"[{models}]", 1)


CASES = [
    ("key-without-models", {"teams__web": team("denied_models: [small]")}, "teams/web.yaml:6:13"),
    ("key-expired", {"teams__web": team("expires: 2026-06-01")}, "teams/web.yaml:8:18"),
    ("key-expires-soon", {"teams__web": team("expires: 2027-01-10")}, "teams/web.yaml:8:18"),
    ("previous-key-expired", {"teams__web": team(OLD)}, "teams/web.yaml:8:110"),
    (
        "limit-above-parent",
        {"teams__web": team("limits: {requests_per_minute: 11}", team_lines=f"limits: {{{TEN}}}")},
        "teams/web.yaml:9:39",
    ),
    (
        "model-limit-above-level",
        {
            "teams__web": team(
                f"limits: {{{TEN}}}\nmodel_limits: {{small: {{requests_per_minute: 11}}}}"
            )
        },
        "teams/web.yaml:9:53",
    ),
    (
        "model-limit-unused",
        {"models": TWO, "teams__web": team(f"model_limits: {{large: {{{TEN}}}}}")},
        "teams/web.yaml:8:24",
    ),
    (
        "budget-below-one-call",
        {"teams__web": team("limits: {daily_spend_usd: 0.001}")},
        "teams/web.yaml:8:35",
    ),
    (
        "allowed-without-effect",
        {"teams__web": team("allowed_models: [small]", team_lines="denied_models: [small]")},
        "teams/web.yaml:9:26",
    ),
    (
        "shadow-without-effect",
        {"teams__web": team("shadow: {allowed_models: [small]}")},
        "teams/web.yaml:8:9",
    ),
    (
        "fallback-without-effect",
        {"models": QUIET["models"] + FALLING, "teams__web": _allows("gpt4")},
        "models.yaml:6:109",
    ),
    ("alias-unused", {"models": TWO}, "models.yaml:6:3"),
    (
        "alias-unpriced",
        {"models": "models:\n  small: {provider: openai, model: no-such-model}\n"},
        "models.yaml:2:3",
    ),
    (
        "provider-unused",
        {
            "providers": TREE["providers.yaml"]
            + TREE["providers.yaml"][11:].replace("openai:", "z:")
        },
        "providers.yaml:6:3",
    ),
    (
        "group-unused",
        {"models": QUIET["models"] + "groups: {chat: [small]}\n"},
        "models.yaml:6:10",
    ),
    ("tag-unused", {"models": TREE["models.yaml"]}, "models.yaml:5:12"),
    (
        "environment-without-keys",
        {
            "org": QUIET["org"] + "environments: {prod: {}, dev: {}}\n",
            "teams__web": team("env: prod"),
        },
        "org.yaml:3:26",
    ),
    ("team-without-projects", {"teams__ops": "team: ops\n"}, "teams/ops.yaml:1:7"),
    ("team-without-keys", {"teams__ops": "team: ops\nprojects: {a: {}}\n"}, "teams/ops.yaml:1:7"),
    ("owner-missing", {"org": "org: acme\n"}, "teams/web.yaml:1:7"),
]


MESSAGES = {
    "key-without-models": "the key 'web-1' can call no model",
    "key-expired": "the key 'web-1' is expired: remove it, or give it a later date",
    "key-expires-soon": "the key 'web-1' expires within 14 days",
    "previous-key-expired": (
        "what the key 'web-1' was before is no longer valid: remove these lines"
    ),
    "limit-above-parent": (
        "requests_per_minute of the key 'web-1' is larger than the 10 of the team 'web'"
    ),
    "model-limit-above-level": (
        "requests_per_minute for 'small' is larger than the 10 of the key 'web-1'"
    ),
    "model-limit-unused": "nobody at the key 'web-1' may call 'large': these limits limit nothing",
    "budget-below-one-call": (
        "daily_spend_usd of the key 'web-1' is below one call of 'small', which reserves "
        "0.002458 USD for its output unless it asks for less"
    ),
    "allowed-without-effect": "'small' is allowed here, but not under the rules of the team 'web'",
    "shadow-without-effect": "the shadow rules of the key 'web-1' would deny nothing to anybody",
    "fallback-without-effect": (
        "'gpt4' never falls back to 'small': no key that may call 'gpt4' may call it"
    ),
    "alias-unused": "nobody may call 'large'",
    "alias-unpriced": "'small' has no price: its calls cost nothing in reports",
    "provider-unused": "no model uses the provider 'z'",
    "group-unused": "no list uses the group 'chat'",
    "tag-unused": "no list uses the tag 'cheap'",
    "environment-without-keys": "no key is in the environment 'dev'",
    "team-without-projects": "the team 'ops' has no projects",
    "team-without-keys": "the team 'ops' has no keys",
    "owner-missing": "the team 'web' has no owner: refusals name the gateway's operator",
}


def found(directory: Path, **overrides: str) -> list[Warned]:
    tree = loader.load(write_tree(directory, **{**QUIET, **overrides}))
    return warnings_of(tree, compile_tree(tree), NOW)


@pytest.mark.parametrize(("code", "overrides", "place"), CASES, ids=[case[0] for case in CASES])
def test_what_is_suspicious_is_named_by_place_code_and_reason(
    code: str, overrides: dict[str, str], place: str, tmp_path: Path
):
    told = {
        each.code: (f"{each.file}:{each.line}:{each.column}", each.message)
        for each in found(tmp_path, **overrides)
    }
    assert told.get(code) == (place, MESSAGES[code])


def small(line: str) -> str:
    return f"{QUIET['models']}    {line}\n{FALLING}"


@pytest.mark.parametrize(
    ("models", "key_lines", "reason"),
    [
        (small("endpoints: [embeddings]"), "", "it serves none of chat/completions"),
        (small(f"limits: {{{TEN}}}"), "", "its own limits count its calls apart"),
        (
            small("tags: []"),
            f"model_limits: {{small: {{{TEN}}}}}",
            "model_limits count it apart for every key that may call 'gpt4' and it",
        ),
        (small("tags: []"), "", None),
        (small("tags: []"), f"model_limits: {{gpt4: {{{TEN}}}}}", None),
        # Which nobody may call at all is another warning.
        (small("tags: []"), "denied_models: [gpt4]", None),
    ],
)
def test_a_fallback_that_is_never_asked_is_named_with_the_reason(
    models: str, key_lines: str, reason: str | None, tmp_path: Path
):
    told = found(tmp_path, models=models, teams__web=_allows("small, gpt4", key_lines))
    messages = [each.message for each in told if each.code == "fallback-without-effect"]
    assert messages == ([f"'gpt4' never falls back to 'small': {reason}"] if reason else [])


@pytest.mark.parametrize("entry", ["up*", "tag:open", "group:opened"])
def test_an_entry_that_stands_only_for_what_is_allowed_by_name_is_said_to_allow_nothing(
    entry: str, tmp_path: Path
):
    models = QUIET["models"] + UPLOADS.replace("endpoints", "tags: [open], endpoints")
    models += "groups: {opened: [uploads]}\n"
    text = _allows("uploads, small", f"allowed_models: [small, '{entry}']")
    told = found(tmp_path, models=models, teams__web=text)
    messages = [each.message for each in told if each.code == "allowed-without-effect"]
    assert messages == [f"'{entry}' allows nothing: uploads can be allowed by name only"]


def test_a_policy_that_is_fine_has_no_warnings(tmp_path: Path):
    assert found(tmp_path) == []


def test_every_code_is_documented_and_has_its_case():
    page = (ROOT / "docs/policy-check.md").read_text(encoding="utf-8")
    sources = (ROOT / "tollhouse/policy/warnings").glob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    in_code = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', text))
    assert in_code == set(re.findall(r"^### (.+)$", page, re.MULTILINE))
    assert in_code == {code for code, *_ in CASES}


def test_warnings_of_many_keys_are_timed(tmp_path: Path):
    keys = "".join(f"      - {{id: k{n}, sha256: '{n:064x}'}}\n" for n in range(2000))
    lines = TREE["teams/web.yaml"].replace(SHA256, "f" * 64) + keys
    tree = loader.load(write_tree(tmp_path, **QUIET, teams__web=lines))
    snapshot = compile_tree(tree)
    begun = time.perf_counter()
    assert warnings_of(tree, snapshot, NOW) == []
    print(f"\nwarnings of 2001 keys: {time.perf_counter() - begun:.3f} s")


BELOW = "is below one call of 'small', which reserves 0.002458 USD"


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        (
            "models",
            "model: gpt-4o-mini",
            "model: gpt-4o-mini\n    limits: {monthly_spend_usd: 0.001}",
            f"monthly_spend_usd of the model 'small' {BELOW}",
        ),
        (
            "teams__web",
            "  site:\n",
            "  site:\n    model_limits: {small: {weekly_spend_usd: 0.001}}\n",
            f"weekly_spend_usd for 'small' of the project 'site' {BELOW}",
        ),
    ],
    ids=["model", "model_limits"],
)
def test_a_budget_below_one_call_is_told_wherever_it_is_written(
    file: str, old: str, new: str, message: str, tmp_path: Path
) -> None:
    text = {"teams__web": team(team_lines="owner: leads"), **QUIET}[file]
    assert old in text
    warned = found(tmp_path, **{file: text.replace(old, new, 1)})
    assert [each.code for each in warned] == ["budget-below-one-call"]
    assert warned[0].message.startswith(message)
