"""`tollhouse test`: tests of a policy, in YAML beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tests.unit.tools.running import Ran, tollhouse

MODELS = """\
models:
  small: {provider: openai, model: gpt-4o-mini, tags: [cheap]}
  large: {provider: openai, model: gpt-4o}
  vectors: {provider: openai, model: text-embedding-3-small, endpoints: [embeddings], tags: [cheap]}
"""
WEB = f"""\
team: web
limits: {{monthly_spend_usd: 500}}
projects:
  site:
    allowed_models: ["tag:cheap"]
    limits: {{tokens_per_minute: 9}}
    keys:
      - id: web-1
        sha256: {"a" * 64}
        env: prod
        expires: 2027-01-01T00:00:00Z
        limits: {{requests_per_minute: 60}}
      - id: web-2
        sha256: {"b" * 64}
        env: staging
        denied_models: [vectors]
"""


def run(folder: Path, tests: str, *words: str) -> Ran:
    tree = write_tree(folder, models=MODELS, teams__web=WEB, tests__a=f"tests:\n{tests}")
    return tollhouse("test", "--policies", tree, *words)


def test(name: str, *lines: str) -> str:
    return f"  - name: {name}\n" + "".join(f"    {line}\n" for line in lines)


test.__test__ = False  # type: ignore[attr-defined]  # it writes one

AT = "at: 2026-12-01T12:00:00Z"


@pytest.mark.parametrize(
    "lines",
    [
        ("key: web-1", AT, "may: [small, vectors]", "may_not: [large]"),
        ("key: web-1", AT, 'only: ["tag:cheap"]'),
        ("key: web-2", "only: [small]"),
        ("key: web-2", "may_not: {large: model_not_allowed, 'vec*': model_not_allowed}"),
        ("keys: {team: web}", AT, "may: [small]"),
        ("keys: {env: staging}", "may_not: [vectors]"),
        ("key: web-1", "at: 2027-01-01", "may_not: {'*': key_expired}"),
        (
            "key: web-1",
            AT,
            "path: /v1/chat/completions",
            "may_not: {vectors: endpoint_not_allowed}",
        ),
        ("key: web-1", AT, "path: /v1/embeddings", "only: [vectors]"),
        ("key: web-1", "limits: {key: {requests_per_minute: 60}, project: {tokens_per_minute: 9}}"),
        ("keys: {project: site}", "limits: {team: {monthly_spend_usd: 500}}"),
    ],
)
def test_what_is_so_passes(tmp_path: Path, lines: tuple[str, ...]):
    shown = run(tmp_path, test("it is so", *lines))
    assert (shown.code, shown.out, shown.err) == (0, "1 passed, 0 failed\n", "")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ("key: web-1", AT, "may: [large]"),
            [
                "{tree}/tests/a.yaml:5: web-1 may not call large, and should",
                "model_not_allowed: Key web-1 may not call large: it is not among the"
                " allowed_models of the project 'site'. GET /v1/models lists the ones it may call;"
                " ask the gateway's operator for more.",
                "the project 'site' does not allow it ({tree}/teams/web.yaml:5)",
            ],
        ),
        (
            ("key: web-1", AT, "may_not:", "  - large", "  - small"),
            [
                "{tree}/tests/a.yaml:7: web-1 may call small, and should not",
                "the project 'site' allows it by tag:cheap ({tree}/teams/web.yaml:5)",
            ],
        ),
        (
            ("key: web-1", "at: 2027-01-01", "may_not:", "  large: model_not_allowed"),
            [
                "{tree}/tests/a.yaml:6: web-1 is refused large with key_expired,"
                " not model_not_allowed",
                "key_expired: Key web-1 has expired. Ask the gateway's operator for a new one.",
            ],
        ),
        (
            ("key: web-2", "only: [large, small]"),
            [
                "{tree}/tests/a.yaml:4: web-2 may not call large, and should",
                "model_not_allowed: Key web-2 may not call large: it is not among the"
                " allowed_models of the project 'site'. GET /v1/models lists the ones it may call;"
                " ask the gateway's operator for more.",
                "the project 'site' does not allow it ({tree}/teams/web.yaml:5)",
            ],
        ),
        (
            ("key: web-2", "only: []"),
            [
                "{tree}/tests/a.yaml:4: web-2 may call small, and should not",
                "the project 'site' allows it by tag:cheap ({tree}/teams/web.yaml:5)",
            ],
        ),
        (
            ("key: web-1", "limits:", "  team:", "    monthly_spend_usd: 400"),
            [
                "{tree}/tests/a.yaml:6: the team of web-1 has 500 USD a month, not 400 USD a month",
            ],
        ),
        (
            ("key: web-2", "limits: {key: {requests_per_minute: 60}}"),
            [
                "{tree}/tests/a.yaml:4: the key of web-2 has no requests_per_minute,"
                " not 60 requests a minute",
            ],
        ),
    ],
)
def test_what_is_not_so_fails_with_its_line_the_answer_and_the_rule_that_made_it(
    tmp_path: Path, lines: tuple[str, ...], said: list[str]
):
    shown = run(tmp_path, test("it is not", *lines) + test("it is", "key: web-2", "may: [small]"))
    assert shown.code == 1
    first, *told, summary = shown.out.splitlines()
    assert first == f"FAILED {tmp_path}/tests/a.yaml:2 it is not"
    assert [line.strip() for line in told] == [line.format(tree=tmp_path) for line in said]
    assert summary == "1 passed, 1 failed"


def test_a_key_of_a_selector_that_differs_is_named(tmp_path: Path):
    shown = run(tmp_path, test("both", "keys: {team: web}", AT, "may: [vectors]"))
    assert [line for line in shown.out.splitlines() if "and should" in line] == [
        f"  {tmp_path}/tests/a.yaml:5: web-2 may not call vectors, and should"
    ]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (("key: web-1", "my: [small]"), "4:5: unknown field 'my': did you mean 'may'?"),
        (("keys: {teem: web}", "may: [small]"), "3:12: unknown field 'teem': did you mean 'team'?"),
        (("key: web-9", "may: [small]"), "3:10: no key has the id 'web-9': did you mean 'web-2'?"),
        (
            ("keys: {team: wep}", "may: [small]"),
            "3:18: no key here has the team 'wep': did you mean 'web'?",
        ),
        (
            ("keys: {team: web, env: dev}", "may: [small]"),
            "3:28: no key here has the env 'dev'; known: prod, staging",
        ),
        (
            ("may: [small]",),
            "2:5: write either key: ID or keys: {team: …, project: …, env: …}",
        ),
        (
            ("key: web-1", "keys: {team: web}", "may: [small]"),
            "2:5: write either key: ID or keys: {team: …, project: …, env: …}",
        ),
        (("key: web-1",), "2:5: the test asserts nothing: write may, may_not, only or limits"),
        (("key: web-1", "may: [smal]"), "4:11: unknown model 'smal': did you mean 'small'?"),
        (
            ("key: web-1", "may_not: {smal: key_blocked}"),
            "4:15: unknown model 'smal': did you mean 'small'?",
        ),
        (("key: web-1", "only: ['tag:chep']"), "4:12: no model has the tag 'chep': did you mean"),
        (
            ("key: web-1", "may_not: {small: key_blockt}"),
            "4:22: 'small' is no decision code: did you mean 'key_blocked'?",
        ),
        (
            ("key: web-1", "may_not: small"),
            "4:14: 'may_not' must be a list of models, or a mapping such as"
            " {gpt4: model_not_allowed}",
        ),
        (("key: web-1", "may: small"), "4:10: 'may' must be a list, not text"),
        (
            ("key: web-1", "path: v1/x", "may: [small]"),
            "4:11: 'path' must be a path such as /v1/chat/completions",
        ),
        (("key: web-1", "at: soon", "may: [small]"), "4:9: 'at' must be a date such as"),
        (
            ("key: web-1", "limits: {tem: {requests_per_minute: 6}}"),
            "4:14: 'tem' must be 'key', 'project', 'team' or 'org'",
        ),
        (
            ("key: web-1", "limits: {team: {request_per_minute: 6}}"),
            "4:21: unknown field 'request_per_minute': did you mean 'requests_per_minute'?",
        ),
    ],
)
def test_a_mistake_in_a_test_is_told_with_its_place_like_one_in_a_policy(
    tmp_path: Path, lines: tuple[str, ...], problem: str
):
    shown = run(tmp_path, test("one", *lines))
    assert shown.err.startswith(f"{tmp_path}/tests/a.yaml:{problem}")
    assert (shown.code, shown.out) == (2, "")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty"),
        ("tests: []\n", "1:8: 'tests' is empty: write at least one"),
        ("test: []\n", "1:1: unknown field 'test': did you mean 'tests'?"),
        ("tests: [&a]\n", "1:9: anchors and aliases (& and *) are not used here"),
    ],
)
def test_a_file_that_holds_no_tests_is_refused(tmp_path: Path, text: str, problem: str):
    tree = write_tree(tmp_path, tests__a=text)
    shown = tollhouse("test", "--policies", tree)
    assert f"{tmp_path}/tests/a.yaml:{problem}" in shown.err
    assert shown.code == 2


def test_files_that_are_given_are_run_instead_of_those_beside_the_policy(tmp_path: Path):
    given = tmp_path / "mine.yaml"
    given.write_text("tests:\n" + test("one", "key: web-2", "may: [large]"))
    shown = run(tmp_path / "p", test("two", "key: web-2", "may: [small]"), str(given))
    assert shown.out.startswith(f"FAILED {given}:2 one\n")
    assert shown.out.endswith("0 passed, 1 failed\n")
    nowhere = tollhouse("test", "--policies", tmp_path / "p", tmp_path / "nowhere.yaml")
    assert nowhere.err == f"{tmp_path}/nowhere.yaml:1:1: not a file that can be read\n"
    assert nowhere.code == 2


def test_a_policy_without_tests_is_told_where_to_write_them(tmp_path: Path):
    shown = tollhouse("test", "--policies", write_tree(tmp_path))
    assert shown.err == f"error: there are no tests: write some in {tmp_path}/tests/NAME.yaml\n"
    assert shown.code == 2


def test_a_policy_without_keys_matches_no_selector(tmp_path: Path):
    tests = "tests:\n" + test("one", "keys: {}", "may: [small]")
    tree = write_tree(tmp_path, teams__web="team: web\n", tests__a=tests)
    shown = tollhouse("test", "--policies", tree)
    assert (shown.code, shown.err) == (2, f"{tree}/tests/a.yaml:3:11: the policy has no keys\n")


def test_a_bad_policy_is_told_before_its_tests(tmp_path: Path):
    tree = write_tree(tmp_path, org="org: [a]\n", tests__a="tests: 7\n")
    shown = tollhouse("test", "--policies", tree)
    assert shown.err.splitlines()[-1] == f"1 problem(s): {tree} would not be taken."
    assert shown.code == 2


def test_github_is_shown_failures_beside_their_lines(tmp_path: Path):
    tests = test("'50%, of: it'", "key: web-1", AT, "may_not: [small]")
    place = f"file={tmp_path}/tests/a.yaml,line=5,title=50%25%2C of%3A it"
    rule = f"the project 'site' allows it by tag:cheap ({tmp_path}/teams/web.yaml:5)"
    assert run(tmp_path, tests, "--format", "github").out.splitlines() == [
        f"::error {place}::web-1 may call small, and should not%0A{rule}",
        "0 passed, 1 failed",
    ]


def test_scripts_are_given_every_test(tmp_path: Path):
    tests = test("a", "key: web-2", "may: [small]") + test("b", "key: web-2", "may: [large]")
    data = run(tmp_path, tests, "--format", "json").data
    assert (data["passed"], data["failed"]) == (1, 1)
    assert [(one["name"], one["line"], one["passed"]) for one in data["tests"]] == [
        ("a", 2, True),
        ("b", 5, False),
    ]
    assert data["tests"][1]["failures"][0]["text"] == "web-2 may not call large, and should"


def test_the_loader_does_not_read_the_tests(tmp_path: Path):
    tree = write_tree(tmp_path, tests__a="not: [a, policy\n")
    assert tollhouse("check", tree).code == 0


def test_the_tests_of_the_example_policy_pass_and_would_see_it_change(tmp_path: Path):
    example = Path(__file__).parents[3] / "policies"
    assert tollhouse("test", "--policies", example, "--demo-keys").code == 0
    assert tollhouse("test", "--policies", example).code == 1  # demo keys are blocked
