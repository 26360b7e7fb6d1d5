"""`tollhouse diff`: what changes for whom, in words."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.policy import TREE, write_tree
from tests.unit.tools.running import Ran, tollhouse

PRICE = "price: {input_per_million: 1, output_per_million: 2}"
MODELS = f"""\
models:
  small: {{provider: openai, model: gpt-4o-mini, tags: [cheap], {PRICE}}}
  large: {{provider: openai, model: gpt-4o, {PRICE}}}
"""
ORG = "org: acme\nenvironments: {prod: {}, staging: {}}\n"


def key(key_id: str, *lines: str, env: str = "prod", sha256: str = "") -> str:
    digits = sha256 or "".join(f"{ord(letter):02x}" for letter in key_id).rjust(64, "f")
    return "".join(
        f"      {line}\n"
        for line in (f"- id: {key_id}", f"  sha256: {digits}", f"  env: {env}", *lines)
    )


def team(name: str, *projects: str, lines: str = "allowed_models: [small, large]") -> str:
    return f"team: {name}\n{lines}\nprojects:\n{''.join(projects)}"


def project(name: str, *keys: str, lines: str = "") -> str:
    stated = "".join(f"    {line}\n" for line in lines.splitlines())
    return f"  {name}:\n{stated}    keys:\n{''.join(keys)}" if keys else f"  {name}: {{}}\n"


def provider(name: str, url: str, variable: str) -> str:
    stated = f"dialect: openai, base_url: '{url}', api_key: '${{{variable}}}'"
    return f"providers:\n  {name}: {{{stated}}}\n"


SITE = project("site", key("site-1"), key("site-2"), key("site-3", env="staging"))
SHOP = project("shop", key("shop-1"))
WEB = team("web", SITE, SHOP)
OPS = team("ops", project("desk", key("desk-1")))
FILES = {"org": ORG, "models": MODELS, "teams__web": WEB, "teams__ops": OPS}


def diff(folder: Path, *words: str, **overrides: str | None) -> Ran:
    old = write_tree(folder / "old", **FILES)
    new = write_tree(folder / "new", **{**FILES, **overrides})
    return tollhouse("diff", old, new, *words)


def changes(folder: Path, **overrides: str | None) -> list[tuple[str, str]]:
    shown = diff(folder, "--format", "json", **overrides)
    assert shown.code == 1
    found: list[dict[str, Any]] = shown.data["changes"]
    return [(one["direction"], one["text"]) for one in found]


def with_site(*keys: str, lines: str = "") -> str:
    return team("web", project("site", *keys, lines=lines), SHOP)


def test_what_nobody_can_feel_is_no_change_and_both_versions_are_told(tmp_path: Path):
    models = MODELS.replace("[cheap]", "[inexpensive, eu]").replace(
        "gpt-4o, ", "gpt-4o, description: x, "
    )
    reordered = team("web", SHOP, SITE, lines="allowed_models: ['la*', 'tag:inexpensive']")
    shown = diff(tmp_path, models=models, teams__web="# words\n" + reordered)
    assert shown.code == 0
    assert shown.out.startswith("nothing changes for anybody (version ")
    assert " → " in shown.out


def test_a_change_of_all_is_said_once_and_one_of_a_team_at_the_team(tmp_path: Path):
    lose = "allowed_models: [small]"
    web, ops = team("web", SITE, SHOP, lines=lose), OPS.replace("[small, large]", "[small]")
    assert changes(tmp_path / "a", teams__web=web, teams__ops=ops) == [
        ("narrower", "everybody loses large")
    ]
    assert changes(tmp_path / "b", teams__web=web) == [("narrower", "web loses large")]


def test_a_change_of_a_project_an_environment_or_some_keys_is_said_there(tmp_path: Path):
    keys = (key("site-1"), key("site-2"), key("site-3", env="staging"))
    site = with_site(*keys, lines="denied_models: [large, small]")
    assert changes(tmp_path / "a", teams__web=site) == [
        ("narrower", "web/site loses large and small")
    ]
    prod = with_site(*keys, lines="environments: {prod: {denied_models: [large]}}")
    assert changes(tmp_path / "b", teams__web=prod) == [("narrower", "web/site prod loses large")]
    denied = "  denied_models: [large]"
    some = with_site(key("site-1", denied), keys[1], key("site-3", denied, env="staging"))
    assert changes(tmp_path / "c", teams__web=some) == [
        ("narrower", "keys site-1 and site-3 (web/site) lose large")
    ]
    assert changes(tmp_path / "d", teams__web=with_site(key("site-1", denied), *keys[1:])) == [
        ("narrower", "key site-1 (web/site) loses large")
    ]


def test_what_is_gained_is_marked_apart_from_what_is_lost_and_comes_after_it(tmp_path: Path):
    old = write_tree(
        tmp_path / "old",
        **{**FILES, "teams__web": team("web", SITE, lines="allowed_models: [small]")},
    )
    new = write_tree(
        tmp_path / "new",
        **{**FILES, "teams__web": team("web", SITE, lines="allowed_models: [large]")},
    )
    shown = tollhouse("diff", old, new).out.splitlines()
    assert shown[0].endswith("2 changes: 1 widen, 1 narrow")
    assert shown[1:] == [
        "+ widens, - narrows, ~ is something else",
        "",
        "team web",
        "  - web loses small",
        "  + web gains large",
    ]
    markdown = tollhouse("diff", old, new, "--format", "markdown").out
    assert (
        "#### team web\n\n- **narrower**: web loses small\n- **wider**: web gains large" in markdown
    )


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        (
            with_site(
                *(key(k) for k in ("site-1", "site-2")),
                key("site-3", "  blocked: true", env="staging"),
            ),
            ("narrower", "key site-3 (web/site) is now blocked"),
        ),
        (
            team("web", SITE, SHOP, lines="allowed_models: [small, large]\nblocked: true"),
            ("narrower", "web is now blocked (at the team)"),
        ),
        (
            team(
                "web",
                SITE,
                project("shop", key("shop-1"), key("shop-2", "  limits: {requests_per_day: 5}")),
            ),
            (
                "wider",
                "new key shop-2 in web/shop prod: may call large and small (5 requests a day)",
            ),
        ),
        (
            team("web", SITE, project("shop", key("shop-1"), key("shop-2"), key("shop-3"))),
            ("wider", "new keys shop-2 and shop-3 in web/shop prod: may call large and small"),
        ),
        (
            team(
                "web",
                SITE,
                project(
                    "shop", key("shop-1"), key("shop-2", "  blocked: true", "  expires: 2027-01-01")
                ),
            ),
            ("wider", "new key shop-2 in web/shop prod: blocked, until 2027-01-02T00:00:00Z"),
        ),
        (
            with_site(key("site-1"), key("site-2")),
            ("narrower", "key site-3 of web/site is removed"),
        ),
        (with_site(key("site-1")), ("narrower", "keys site-2 and site-3 of web/site are removed")),
        (
            team("web", SITE, project("shop", key("shop-1", "  expires: 2027-06-30"))),
            ("narrower", "key shop-1 (web/shop) now expires, at 2027-07-01T00:00:00Z"),
        ),
        (
            team("web", SITE, project("shop", key("shop-1", env="staging"))),
            ("other", "key shop-1 (web/shop) has the environment staging instead of prod"),
        ),
        (
            team("web", SITE, project("shop", key("shop-1", sha256="ab" * 32))),
            (
                "narrower",
                "key shop-1 (web/shop) is another key now: the old one is refused at once",
            ),
        ),
        (
            team("web", SITE, project("shop", key("shop-1", "  shadow: {denied_models: [large]}"))),
            ("other", "web/shop is from now on logged as would_deny (shadow) for large"),
        ),
        (
            team("web", SITE, SHOP, lines="allowed_models: [small, large]\nowner: ann"),
            ("other", "refusals of web name ann instead of none"),
        ),
    ],
)
def test_what_happens_to_keys_is_said_in_words(tmp_path: Path, web: str, expected: tuple[str, str]):
    assert changes(tmp_path, teams__web=web) == [expected]


def test_a_rotation_says_until_when_the_old_key_is_good(tmp_path: Path):
    old_hash = "".join(f"{ord(letter):02x}" for letter in "shop-1").rjust(64, "f")

    def rotated(until: str, sha256: str = "ab" * 32) -> str:
        previous = f"  previous: [{{sha256: {old_hash}, valid_until: {until}}}]"
        return team("web", SITE, project("shop", key("shop-1", previous, sha256=sha256)))

    first = {**FILES, "teams__web": rotated("2027-01-01")}
    assert changes(tmp_path / "a", teams__web=first["teams__web"]) == [
        (
            "other",
            "key shop-1 (web/shop) is another key now: the old one is good until"
            " 2027-01-02T00:00:00Z",
        )
    ]
    old = write_tree(tmp_path / "old", **first)
    for number, (web, expected) in enumerate(
        [
            (
                rotated("2027-02-01"),
                "+ key shop-1 (web/shop) takes a key that it replaced until"
                " 2027-02-02T00:00:00Z instead of until 2027-01-02T00:00:00Z",
            ),
            (
                team("web", SITE, project("shop", key("shop-1", sha256="ab" * 32))),
                "- key shop-1 (web/shop) no longer takes a key that it replaced",
            ),
        ]
    ):
        new = write_tree(tmp_path / f"new{number}", **{**FILES, "teams__web": web})
        assert tollhouse("diff", old, new).out.splitlines()[-1] == f"  {expected}"


def test_a_key_that_is_no_longer_blocked_is_told_with_what_it_may(tmp_path: Path):
    blocked = team("web", SITE, project("shop", key("shop-1", "  blocked: true")))
    old = write_tree(tmp_path / "old", **{**FILES, "teams__web": blocked})
    new = write_tree(tmp_path / "new", **FILES)
    assert tollhouse("diff", old, new).out.splitlines()[-1] == (
        "  + web/shop is no longer blocked and may call large and small"
    )


def test_a_key_that_moves_says_from_where(tmp_path: Path):
    moved = team("web", SITE, project("shop"), project("store", key("shop-1")))
    texts = [text for _, text in changes(tmp_path, teams__web=moved)]
    assert texts == ["key shop-1 (web/store) moves here from web/shop", "new project web/store"]


def test_a_key_that_moves_to_another_team_is_told_to_begin_anew(tmp_path: Path):
    left = team("web", SITE, project("shop"))
    texts = [text for _, text in changes(
        tmp_path, teams__web=left, teams__heirs=team("heirs", project("shop", key("shop-1")))
    )]  # fmt: skip
    moved = "key shop-1 (heirs/shop) moves here from web/shop, and its counters begin anew"
    assert moved in texts


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {
                "teams__web": team(
                    "web",
                    SITE,
                    SHOP,
                    lines="allowed_models: [small, large]\nlimits: {monthly_spend_usd: 500}",
                )
            },
            [("narrower", "web: a new limit of 500 USD a month")],
        ),
        (
            {
                "teams__web": team(
                    "web",
                    SITE,
                    SHOP,
                    lines="allowed_models: [small, large]\n"
                    "environments: {prod: {limits: {tokens_per_day: 1000}}}",
                )
            },
            [("narrower", "web prod: a new limit of 1,000 tokens a day")],
        ),
        (
            {
                "teams__web": team(
                    "web",
                    SITE,
                    project(
                        "shop",
                        key("shop-1"),
                        lines="model_limits: {large: {max_parallel_requests: 2}}",
                    ),
                )
            },
            [("narrower", "web/shop with large: a new limit of 2 calls at once")],
        ),
        (
            {"org": ORG + "limits: {requests_per_minute: 9}"},
            [("narrower", "everybody together: a new limit of 9 requests a minute")],
        ),
        (
            {"models": MODELS.replace("gpt-4o, ", "gpt-4o, limits: {requests_per_minute: 9}, ")},
            [("narrower", "all calls of large together: a new limit of 9 requests a minute")],
        ),
        (
            {
                "teams__web": with_site(
                    *(key(k, "  limits: {requests_per_minute: 9}") for k in ("site-1", "site-2")),
                    key("site-3", "  limits: {requests_per_minute: 9}", env="staging"),
                )
            },
            [("narrower", "each key of web/site: a new limit of 9 requests a minute")],
        ),
        (
            {
                "teams__web": team(
                    "web",
                    SITE,
                    project(
                        "shop", key("shop-1", "  model_limits: {small: {requests_per_minute: 9}}")
                    ),
                )
            },
            [("narrower", "key shop-1 (web/shop): with small, a new limit of 9 requests a minute")],
        ),
    ],
)
def test_a_limit_is_said_with_the_scope_it_is_counted_in(
    tmp_path: Path, overrides: dict[str, str], expected: list[tuple[str, str]]
):
    assert changes(tmp_path, **overrides) == expected


def test_limits_that_are_raised_or_go_widen_and_lowered_ones_narrow(tmp_path: Path):
    def limited(limits: str) -> dict[str, str]:
        lines = f"allowed_models: [small, large]\nlimits: {{{limits}}}"
        return {**FILES, "teams__web": team("web", SITE, SHOP, lines=lines)}

    before = "monthly_spend_usd: 200, requests_per_minute: 60, tokens_per_minute: 7"
    after = "monthly_spend_usd: 500.5, requests_per_minute: 30, budget_mode: soft"
    old, new = (
        write_tree(tmp_path / "a", **limited(before)),
        write_tree(tmp_path / "b", **limited(after)),
    )
    assert tollhouse("diff", old, new).out.splitlines()[-4:] == [
        "  - web: 60 → 30 requests a minute",
        "  + web: budget 200 → 500.50 USD a month",
        "  + web: no limit of 7 tokens a minute any more",
        "  + web: the budget is soft instead of hard",
    ]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {"org": ORG + "time_zone: Europe/Berlin"},
            [("other", "days, weeks and months begin at midnight in Europe/Berlin instead of UTC")],
        ),
        (
            {"org": ORG + "on_store_outage: allow"},
            [("wider", "while the ledger is away, calls meet 'allow' instead of 'deny'")],
        ),
        (
            {"org": ORG + "default_max_output_tokens: 100"},
            [("narrower", "calls without a maximum may have 100 output tokens instead of 4,096")],
        ),
        (
            {"org": ORG.replace("staging: {}", "staging: {}, dev: {}")},
            [("other", "new environment dev")],
        ),
        (
            {"models": MODELS.replace("model: gpt-4o,", "model: gpt-4.1,")},
            [("other", "large now goes to openai/gpt-4.1 instead of openai/gpt-4o")],
        ),
        (
            {
                "models": MODELS.replace(
                    "gpt-4o, price: {input_per_million: 1", "gpt-4o, price: {input_per_million: 1.5"
                )
            },
            [
                (
                    "other",
                    "large: costs 1.5 / 2 / 1.5 instead of 1 / 2 / 1"
                    " USD per million tokens of input / output / cached input",
                )
            ],
        ),
        (
            {"models": MODELS.replace("gpt-4o,", "gpt-4o, max_output_tokens: 9,")},
            [("narrower", "large: at most 9 output tokens instead of none")],
        ),
        (
            {
                "models": MODELS.replace(
                    "gpt-4o,", "gpt-4o, endpoints: [chat/completions, embeddings],"
                )
            },
            [
                (
                    "wider",
                    "large: serves /v1/chat/completions, /v1/embeddings"
                    " instead of /v1/chat/completions",
                )
            ],
        ),
        (
            {"models": MODELS.replace("gpt-4o,", "gpt-4o, defaults: {seed: 7},")},
            [("other", "large: the parameters set by default are seed: 7 instead of none")],
        ),
        (
            {"models": MODELS + f"  third: {{provider: openai, model: x, {PRICE}}}\n"},
            [
                (
                    "other",
                    "new model third, which goes to openai/x at 1 / 2 / 1 USD per million tokens",
                )
            ],
        ),
        (
            {
                "models": MODELS.rsplit("  large", 1)[0],
                "teams__web": WEB.replace(", large", ""),
                "teams__ops": OPS.replace(", large", ""),
            },
            [("narrower", "everybody loses large"), ("narrower", "large is removed")],
        ),
        (
            {"providers": provider("openai", "https://eu.api.openai.com/v1", "OPENAI_API_KEY")},
            [
                (
                    "other",
                    "openai: base_url is https://eu.api.openai.com/v1 instead of https://api.openai.com/v1",
                )
            ],
        ),
        (
            {
                "providers": provider("openai", "https://api.openai.com/v1", "OTHER")
                + provider("b", "https://b.test/v1", "B").removeprefix("providers:\n")
            },
            [
                ("other", "new provider b at https://b.test/v1"),
                ("other", "openai: secret is env:OTHER instead of env:OPENAI_API_KEY"),
            ],
        ),
        (
            {
                "providers": TREE["providers.yaml"]
                + "    forward_headers: [openai-beta, x-a]\n    headers: {x-title: acme}\n"
                + "    cooldown_seconds: 0\n    max_connections: 5\n"
            },
            [
                ("other", "openai: cooldown_seconds is 0 instead of 10"),
                ("other", "openai: forward_headers is openai-beta, x-a instead of none"),
                ("other", "openai: headers is x-title: acme instead of none"),
                ("other", "openai: max_connections is 5 instead of none"),
            ],
        ),
        (
            {
                "teams__new": team("new", lines="limits: {monthly_spend_usd: 9}").replace(
                    "projects:\n", ""
                )
            },
            [("other", "new team new (9 USD a month)")],
        ),
        (
            {"teams__ops": None},
            [
                ("narrower", "key desk-1 of ops/desk is removed"),
                ("narrower", "the team ops is removed"),
            ],
        ),
        (
            {"teams__web": team("web", SITE, SHOP, project("more"))},
            [("other", "new project web/more")],
        ),
    ],
)
def test_settings_models_and_providers_are_said_in_words(
    tmp_path: Path, overrides: dict[str, str | None], expected: list[tuple[str, str]]
):
    assert changes(tmp_path, **overrides) == expected


def test_everyone_comes_first_then_teams_that_lose_then_those_that_gain(tmp_path: Path):
    gained = OPS.replace("[small, large]", "[small]")
    old = write_tree(tmp_path / "old", **{**FILES, "teams__ops": gained})
    new = write_tree(
        tmp_path / "new",
        **{
            **FILES,
            "org": ORG + "time_zone: Europe/Berlin",
            "models": MODELS.replace("model: gpt-4o,", "model: gpt-4.1,"),
            "teams__web": team("web", SITE, SHOP, lines="allowed_models: [small]"),
        },
    )
    groups = [line for line in tollhouse("diff", old, new).out.splitlines() if line[:1].isalpha()]
    assert groups[1:] == ["everyone", "team web", "team ops", "models"]


# Revisions


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.test", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits; the second takes a model from a team."""
    write_tree(tmp_path / "deep/policies", **FILES)
    git(tmp_path, "init", "-q")
    for message in ("one", "two"):
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", message)
        write_tree(
            tmp_path / "deep/policies",
            teams__ops=OPS.replace(", large", ""),
            **{k: v for k, v in FILES.items() if k != "teams__ops"},
        )
    monkeypatch.chdir(tmp_path / "deep")
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("HEAD~1:deep/policies", "HEAD:deep/policies", 1),
        ("HEAD~1:./policies", "policies", 1),
        ("HEAD:./policies/", "policies", 0),
    ],
)
def test_a_revision_of_git_can_be_named_from_its_top_or_from_here(
    repository: Path, old: str, new: str, code: int
):
    shown = tollhouse("diff", old, new)
    assert (shown.code, shown.err) == (code, "")
    assert ("ops loses large" in shown.out) == bool(code)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "error: nowhere is neither a directory nor REV:PATH, such as main:policies"),
        (":x", "error: :x is neither a directory nor REV:PATH"),
        ("HEAD:nowhere", "error: git knows no HEAD:nowhere"),
        ("nobody:deep", "error: git knows no nobody:deep"),
        ("HEAD:deep/policies/org.yaml", "error: HEAD:deep/policies/org.yaml is not a directory"),
    ],
)
def test_what_git_does_not_have_is_said(repository: Path, name: str, said: str):
    shown = tollhouse("diff", name, "policies")
    assert shown.err.startswith(said)
    assert (shown.code, shown.out) == (2, "")


def test_a_revision_outside_a_repository_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    shown = tollhouse("diff", "HEAD:a", "HEAD:b")
    assert shown.err.startswith("error: git rev-parse: fatal: not a git repository")
    assert shown.code == 2


def test_a_machine_without_git_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    shown = tollhouse("diff", "HEAD:a", "HEAD:b")
    assert (shown.code, shown.err) == (2, "error: git is not installed, and REV:PATH needs it\n")


def test_a_bad_tree_is_told_under_the_name_it_was_given(repository: Path):
    (repository / "deep/policies/org.yaml").write_text("org: [a]\n")
    git(repository, "commit", "-qam", "bad")
    shown = tollhouse("diff", "HEAD~1:./policies", "HEAD:./policies")
    assert shown.err.splitlines() == [
        "HEAD:./policies/org.yaml:1:6: 'org' must be text, not a list",
        "1 problem(s): HEAD:./policies would not be taken.",
    ]
    assert shown.code == 2
