"""Teams, projects, models and tokens over the API: what is written, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.actors import Actor
from console.problems import ManageError
from console.shapes.keys import KeyQuery
from console.shapes.levels import (
    LevelQuery,
    ProjectCreate,
    ProjectPatch,
    TeamCreate,
    TeamPatch,
)
from console.shapes.models import ModelCreate, ModelPatch, ModelQuery
from console.shapes.reading import read_body, read_fields
from console.shapes.tokens import TokenCreate
from tests.unit.console.edits.builders import (
    ADMIN,
    LEAD,
    MANAGEMENT,
    MODELS,
    OPS,
    PLATFORM,
    WEB,
    Managed,
)
from tests.unit.console.edits.test_keys_written import changed, create
from tollhouse.keys import MANAGEMENT_PREFIX, sha256_hex
from tollhouse.policy.compiler import load_snapshot

Files = Callable[[], dict[str, bytes]]


def refused(work: Callable[..., Any], *arguments: Any) -> ManageError:
    with pytest.raises(ManageError) as error:
        work(*arguments)
    return error.value


def team(**fields: Any) -> TeamPatch:
    return read_fields(TeamPatch, fields)


def project(**fields: Any) -> ProjectPatch:
    return read_fields(ProjectPatch, fields)


def test_a_new_team_is_a_file_as_a_person_would_write_it(managed: Managed) -> None:
    asked = {
        "team": "lab",
        "owner": "Ann, +49 30 1234",
        "limits": {"monthly_spend_usd": 100, "budget_mode": "soft"},
        "model_limits": {"meta/llama:3": {"requests_per_day": 7}},
        "allowed_models": ["tag:cheap", "meta/llama:3"],
        "environments": {"staging": {"limits": {"monthly_spend_usd": 10}}, "prod": {}},
    }
    view = managed.teams.create(PLATFORM, read_fields(TeamCreate, asked))
    assert managed.text("teams/lab.yaml") == (
        'team: lab\nowner: "Ann, +49 30 1234"\n'
        "limits: {monthly_spend_usd: 100, budget_mode: soft}\n"
        'model_limits:\n  "meta/llama:3": {requests_per_day: 7}\n'
        'allowed_models: ["tag:cheap", "meta/llama:3"]\n'
        "environments:\n  staging:\n    limits: {monthly_spend_usd: 10}\n  prod: {}\n"
    )
    assert (view.where, view.keys, view.projects) == ("teams/lab.yaml:1", 0, [])
    assert refused(managed.teams.create, PLATFORM, TeamCreate(team="lab")).code == "already_exists"
    assert managed.teams.delete(PLATFORM, "lab").id == "lab"
    assert not (managed.directory / "teams/lab.yaml").exists()


def test_a_file_that_has_the_name_of_a_new_team_is_left_alone(managed: Managed) -> None:
    (managed.directory / "teams/lab.yaml").write_text("team: other\n")
    assert managed.teams.create(PLATFORM, TeamCreate(team="lab")).where == "teams/lab-2.yaml:1"


@pytest.mark.parametrize(
    ("asked", "diff"),
    [
        (
            {"limits": {"monthly_spend_usd": 600}},
            [
                "- limits: {monthly_spend_usd: 500}   # agreed with finance\n",
                "+ limits: {monthly_spend_usd: 600}   # agreed with finance\n",
            ],
        ),
        ({"limits": None}, ["- limits: {monthly_spend_usd: 500}   # agreed with finance\n"]),
        ({"owner": None}, ["- owner: web-leads@example.com\n"]),
        ({"blocked": False}, []),
        ({"blocked": True}, ["+ blocked: true\n"]),
        (
            {"environments": {"staging": {"denied_models": ["small"]}}},
            ["+ environments:\n", "+   staging:\n", "+     denied_models: [small]\n"],
        ),
    ],
)
def test_a_team_s_patch_changes_the_lines_that_it_is_about(
    managed: Managed, asked: dict[str, Any], diff: list[str]
) -> None:
    before = managed.teams.get(PLATFORM, "web")
    view = managed.teams.patch(PLATFORM, "web", team(**asked), before.etag)
    assert changed(WEB, managed.text("teams/web.yaml")) == diff
    assert view == managed.teams.get(PLATFORM, "web")
    again = refused(managed.teams.patch, PLATFORM, "web", team(), "other")
    assert again.details == {"etag": view.etag}


def test_a_team_s_etag_is_of_itself_and_not_of_its_projects(managed: Managed) -> None:
    seen = managed.teams.get(PLATFORM, "web").etag
    managed.projects.patch(PLATFORM, "web", "site", project(blocked=True))
    managed.projects.create(PLATFORM, ProjectCreate(team="web", project="new"))
    assert managed.teams.get(PLATFORM, "web").etag == seen


def test_a_project_is_made_changed_and_deleted(managed: Managed) -> None:
    asked = read_fields(
        ProjectCreate, {"team": "web", "project": "app", "allowed_models": ["small"]}
    )
    made = managed.projects.create(PLATFORM, asked)
    assert (made.where, made.allowed_models) == ("teams/web.yaml:19", ["small"])
    assert changed(WEB, managed.text("teams/web.yaml")) == [
        "+   app:\n",
        "+     allowed_models: [small]\n",
    ]
    assert refused(managed.projects.create, PLATFORM, asked).code == "already_exists"
    managed.projects.patch(PLATFORM, "web", "app", project(allowed_models=None), made.etag)
    managed.projects.delete(PLATFORM, "web", "app")
    assert managed.text("teams/web.yaml") == WEB
    pairs = [(p.team, p.project) for p in managed.projects.list(PLATFORM, LevelQuery()).data]
    assert pairs == [("ops", "jobs"), ("web", "site")]


def test_a_project_s_team_is_made_with_it(managed: Managed) -> None:
    made = managed.projects.create(PLATFORM, ProjectCreate(team="new", project="p"))
    assert managed.text("teams/new.yaml") == "team: new\nprojects:\n  p: {}\n"
    assert made.warnings == ["the team 'new' was made: it has no budget and no owner of its own"]
    managed.projects.delete(PLATFORM, "new", "p")
    assert managed.text("teams/new.yaml") == "team: new\nprojects: {}\n"


def test_a_project_s_team_is_not_made_where_it_looks_misspelt(managed: Managed) -> None:
    error = refused(managed.projects.create, PLATFORM, ProjectCreate(team="wbe", project="p"))
    assert (error.code, error.param) == ("not_found", "team")
    # Whoever names a project in so many words means it.
    made = managed.projects.create(PLATFORM, ProjectCreate(team="web", project="sites"))
    assert made.warnings == []


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        (
            lambda it: it.teams.patch(PLATFORM, "web", team(limits={"monthly_spend_usd": 1001})),
            "exceeds_level",
            "monthly_spend_usd 1,001 is more than the org 'acme' has, 1,000 USD a month",
        ),
        (
            lambda it: it.projects.patch(
                PLATFORM, "web", "site", project(limits={"monthly_spend_usd": 501})
            ),
            "exceeds_level",
            "the team 'web' has, 500 USD a month",
        ),
        (
            lambda it: it.projects.patch(
                PLATFORM,
                "web",
                "site",
                project(environments={"prod": {"allowed_models": ["meta/llama:3"]}}),
            ),
            "exceeds_level",
            "the project 'site' does not allow 'meta/llama:3'",
        ),
        (
            lambda it: it.teams.patch(
                PLATFORM,
                "web",
                team(environments={"staging": {"limits": {"monthly_spend_usd": 51}}}),
            ),
            "exceeds_level",
            "the environment 'staging' of the org 'acme' has, 50 USD a month",
        ),
        (
            lambda it: it.teams.patch(PLATFORM, "web", team(environments={"prd": {}})),
            "invalid_request",
            "unknown environment in 'environments': did you mean 'prod'?",
        ),
        (
            lambda it: it.teams.patch(PLATFORM, "web", team(allowed_models=["tag:x"])),
            "invalid_request",
            "no model has the tag 'x'",
        ),
        (
            lambda it: it.teams.delete(PLATFORM, "web"),
            "in_use",
            "the team 'web' is in use, by key web-1, key web-2, token web-lead: change those first",
        ),
        (
            lambda it: it.projects.delete(PLATFORM, "web", "site"),
            "in_use",
            "by key web-1, key web-2: change those first",
        ),
        (
            lambda it: it.models.delete(PLATFORM, "small"),
            "in_use",
            "by group chat, project web/site, key ops-1: change those first",
        ),
        (lambda it: it.teams.get(LEAD, "ops"), "not_found", "there is no such team"),
        (lambda it: it.projects.get(LEAD, "ops", "jobs"), "not_found", "there is no such team"),
        (lambda it: it.projects.get(LEAD, "web", "sit"), "not_found", "did you mean 'site'?"),
        (lambda it: it.models.get(LEAD, "smal"), "not_found", "did you mean 'small'?"),
        (
            lambda it: it.teams.patch(LEAD, "web", team()),
            "role_not_allowed",
            "lee@example.com is team-lead, and team.write is for admin, platform",
        ),
        (
            lambda it: it.projects.patch(LEAD, "ops", "jobs", project()),
            "role_not_allowed",
            "project.write is for admin, platform",
        ),
        (
            lambda it: it.models.patch(LEAD, "small", ModelPatch()),
            "role_not_allowed",
            "model.write is for admin, platform",
        ),
        (
            lambda it: it.models.create(
                PLATFORM, ModelCreate(alias="new", provider="opnai", model="x")
            ),
            "invalid_request",
            "there is no such provider: did you mean 'openai'?",
        ),
        (
            lambda it: it.models.create(
                PLATFORM, ModelCreate(alias="small", provider="openai", model="x")
            ),
            "already_exists",
            "there is a model 'small' already",
        ),
        (
            lambda it: it.models.patch(PLATFORM, "small", ModelPatch(provider=None)),
            "invalid_request",
            "'provider' has no default",
        ),
        (
            lambda it: it.models.patch(PLATFORM, "small", ModelPatch(tags=None)),
            "policy_refused",
            "no model has the tag 'cheap'",
        ),
        (
            lambda it: it.tokens.create(PLATFORM, TokenCreate(id="x", role="viewer")),
            "role_not_allowed",
            "token.write is for admin",
        ),
        (
            lambda it: it.tokens.create(ADMIN, TokenCreate(id="root", role="viewer")),
            "already_exists",
            "there is a token of this id already",
        ),
        (
            lambda it: it.tokens.create(ADMIN, TokenCreate(id="x", role="team-lead")),
            "invalid_request",
            "a team-lead needs 'teams'",
        ),
        (
            lambda it: it.tokens.create(ADMIN, TokenCreate(id="x", role="admin", teams=["web"])),
            "invalid_request",
            "'admin' is for the whole org",
        ),
        (
            lambda it: it.tokens.create(ADMIN, TokenCreate(id="x", role="viewer", teams=["wep"])),
            "invalid_request",
            "there is no such team: did you mean 'web'?",
        ),
        (
            lambda it: it.tokens.delete(ADMIN, "root"),
            "role_not_allowed",
            "this is the token that you are using",
        ),
        (lambda it: it.tokens.delete(ADMIN, "rot"), "not_found", "did you mean 'root'?"),
    ],
)
def test_what_is_refused_says_why_and_changes_nothing(
    managed: Managed, files: Files, work: Callable[[Managed], Any], code: str, said: str
) -> None:
    if "tag" in said:
        path = managed.directory / "teams/ops.yaml"
        path.write_text(OPS.replace("[small]", '["tag:cheap"]'))
    before = files()
    error = refused(work, managed)
    assert (error.code, said in error.message) == (code, True), error.message
    assert files() == before
    assert managed.planned == []


def test_a_model_is_made_changed_and_deleted(managed: Managed) -> None:
    body = b"""{
        "alias": "eu/large:1", "provider": "openai", "model": "gpt-4o", "tags": ["eu"],
        "defaults": {"temperature": 0.10, "stop": ["\\u2028", "a: #"], "user": "no",
                     "response_format": {"type": "json_object", "x": null}},
        "price": {"input_per_million": "2.50", "output_per_million": 10},
        "max_output_tokens": 100}"""
    made = managed.models.create(PLATFORM, read_body(ModelCreate, body))
    lines = (
        '+   "eu/large:1":\n+     provider: openai\n+     model: gpt-4o\n+     defaults:\n'
        '+       temperature: 0.10\n+       stop: ["\\u2028", "a: #"]\n+       user: "no"\n'
        "+       response_format: {type: json_object, x: null}\n+     max_output_tokens: 100\n"
        "+     price: {input_per_million: 2.50, output_per_million: 10}\n+     tags: [eu]\n"
    )
    assert changed(MODELS, managed.text("models.yaml")) == lines.splitlines(keepends=True)
    assert made.where == "models.yaml:15"
    assert '"price_per_million":{"input":2.5,"output":10,"cached_input":2.5}' in (
        made.model_dump_json()
    )
    assert load_snapshot(managed.directory).aliases["eu/large:1"].defaults["temperature"] == "0.1"
    asked = read_body(ModelPatch, b'{"price": {"input_per_million": 3, "output_per_million": 10}}')
    managed.models.patch(PLATFORM, "eu/large:1", asked, made.etag)
    assert "price: {input_per_million: 3, output_per_million: 10}" in managed.text("models.yaml")
    managed.models.delete(PLATFORM, "eu/large:1")
    assert managed.text("models.yaml") == MODELS


def test_a_model_has_several_deployments_and_fallbacks_in_the_order_that_was_asked(
    managed: Managed,
) -> None:
    body = b"""{"alias": "several", "fallback_after_seconds": 2.5,
        "deployments": [{"provider": "openai", "model": "gpt-4o", "weight": 3},
                        {"provider": "openai", "model": "gpt-4o-mini", "order": 2,
                         "price": {"input_per_million": 1, "output_per_million": 2}}],
        "fallbacks": ["small", "meta/llama:3"]}"""
    made = managed.models.create(PLATFORM, read_body(ModelCreate, body))
    assert (made.provider, made.model, made.fallback_after_seconds) == ("openai", "gpt-4o", 2.5)
    assert [(each.model, each.weight, each.order) for each in made.deployments] == [
        ("gpt-4o", 3, 1),
        ("gpt-4o-mini", 1, 2),
    ]
    assert [each.price_source for each in made.deployments] == ["genai-prices", "policy"]
    other = read_body(ModelPatch, b'{"fallbacks": ["meta/llama:3", "small"]}')
    assert managed.models.patch(PLATFORM, "several", other).fallbacks == ["meta/llama:3", "small"]
    alias = load_snapshot(managed.directory).aliases["several"]
    assert alias.fallbacks == ("meta/llama:3", "small")
    assert [each.weight for each in alias.deployments] == [3, 1]


def test_one_deployment_takes_the_place_of_several_and_several_that_of_one(
    managed: Managed,
) -> None:
    several = b'{"deployments": [{"provider": "openai", "model": "a"}]}'
    patched = managed.models.patch(PLATFORM, "small", read_body(ModelPatch, several))
    assert [each.model for each in patched.deployments] == ["a"]
    file = managed.text("models.yaml")
    assert "deployments:" in file
    one = read_body(ModelPatch, b'{"provider": "openai", "model": "b"}')
    assert managed.models.patch(PLATFORM, "small", one).model == "b"
    assert "deployments:" not in managed.text("models.yaml")


def test_a_deployment_of_an_unknown_provider_and_a_model_without_any_are_refused(
    managed: Managed,
) -> None:
    for body, param, words in (
        (
            b'{"alias": "x", "deployments": [{"provider": "opnai", "model": "a"}]}',
            "deployments",
            "did you mean 'openai'?",
        ),
        (b'{"alias": "x", "provider": "openai"}', "model", "'model' has no default"),
        (b'{"alias": "x"}', "provider", "'provider' has no default"),
    ):
        error = refused(managed.models.create, PLATFORM, read_body(ModelCreate, body))
        assert (error.code, error.param) == ("invalid_request", param)
        assert words in error.message


def test_endpoints_whose_model_cannot_be_checked_need_a_provider_alone(managed: Managed) -> None:
    body = b"""{"alias": "uploads", "provider": "openai", "endpoints": ["files", "batches"],
        "price": {"per_request": 1}}"""
    made = managed.models.create(PLATFORM, read_body(ModelCreate, body))
    assert made.endpoints == ["batches", "files"]
    assert "model:" not in managed.text("models.yaml").partition("uploads:")[2]


def test_a_model_that_another_falls_back_to_is_in_use(managed: Managed) -> None:
    body = b'{"alias": "x", "provider": "openai", "model": "gpt-4o", "fallbacks": ["small"]}'
    managed.models.create(PLATFORM, read_body(ModelCreate, body))
    error = refused(managed.models.delete, PLATFORM, "small")
    assert error.code == "in_use"
    assert "model x" in error.message


def test_models_are_counted_for_who_asks(managed: Managed) -> None:
    def counts(actor: Actor) -> dict[str, int]:
        listed = managed.models.list(actor, ModelQuery())
        return {model.alias: model.keys for model in listed.data}

    assert counts(ADMIN) == {"large": 1, "meta/llama:3": 0, "small": 3}
    assert counts(LEAD) == {"large": 1, "meta/llama:3": 0, "small": 2}
    (cheap,) = managed.models.list(ADMIN, ModelQuery(tag="cheap", q="GPT-4o")).data
    assert (cheap.alias, cheap.groups, cheap.price_source) == ("small", ["chat"], "policy")


def test_a_token_is_shown_once_and_kept_as_a_hash(managed: Managed) -> None:
    asked = TokenCreate(id="ci", role="viewer", teams=["web"], expires="90d")
    made = managed.tokens.create(ADMIN, asked)
    assert made.token.startswith(MANAGEMENT_PREFIX)
    assert changed(MANAGEMENT, managed.text("management.yaml")) == [
        "+   - id: ci\n",
        f"+     sha256: {sha256_hex(made.token)}\n",
        "+     role: viewer\n",
        "+     teams: [web]\n",
        "+     expires: 2027-02-26T12:00:00Z\n",
    ]
    shown = managed.tokens.list(ADMIN)
    assert [(each.id, each.where) for each in shown.data] == [
        ("ci", "management.yaml:9"),
        ("root", "management.yaml:2"),
        ("web-lead", "management.yaml:5"),
    ]
    assert made.token not in shown.model_dump_json()
    assert sha256_hex(made.token) not in shown.model_dump_json()
    management = load_snapshot(managed.directory).management
    assert management is not None
    assert management.tokens["ci"].teams == {"web"}
    managed.tokens.delete(ADMIN, "ci")
    assert managed.text("management.yaml") == MANAGEMENT


def test_without_management_there_are_no_tokens(managed: Managed) -> None:
    (managed.directory / "management.yaml").unlink()
    asked = TokenCreate(id="ci", role="viewer")
    assert refused(managed.tokens.create, ADMIN, asked).code == "not_found"
    assert managed.tokens.list(ADMIN).data == []


@pytest.mark.parametrize("sort", ["team", "project", "id"])
def test_pages_show_each_once_while_others_come_and_go(managed: Managed, sort: Any) -> None:
    for _ in range(5):
        managed.keys.create(PLATFORM, create())
    seen: list[str] = []
    after = None
    while True:
        page = managed.keys.list(PLATFORM, KeyQuery(sort=sort, limit=2, after=after))
        seen += [key.id for key in page.data]
        if page.next is None:
            break
        if len(seen) == 2:
            managed.keys.delete(PLATFORM, seen[0])
            managed.keys.create(PLATFORM, create(id="zzz"))
        after = page.next
    assert len(seen) == len(set(seen)) == 9


@pytest.mark.parametrize("after", ["x", "!!", "W10", "WzFd", "AAAA", "=", "é"])
def test_an_after_that_no_answer_had_is_refused(managed: Managed, after: str) -> None:
    error = refused(managed.keys.list, ADMIN, KeyQuery(after=after))
    assert (error.code, error.param) == ("invalid_request", "after")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"team": "ops"}, ["ops-1"]),
        ({"project": "site", "env": "prod"}, ["web-1"]),
        ({"state": "active", "model": "large"}, ["web-1"]),
        ({"state": "blocked"}, []),
        ({"owner": "ann"}, ["web-1"]),
        ({"q": "ANN"}, ["web-1"]),
        ({"q": "jobs"}, ["ops-1"]),
    ],
)
def test_keys_are_found_by_what_they_are(
    managed: Managed, query: dict[str, Any], ids: list[str]
) -> None:
    assert [key.id for key in managed.keys.list(ADMIN, KeyQuery(**query)).data] == ids


def test_the_narrowest_limit_of_each_kind_is_named_with_its_level(managed: Managed) -> None:
    view = managed.keys.get(ADMIN, "web-2")
    assert {
        name: (limit.limit, limit.level, limit.name, limit.env)
        for name, limit in view.effective_limits.items()
    } == {
        "requests_per_minute": (100, "project", "site", None),
        "monthly_spend_usd": (50, "org", "acme", "staging"),
    }
