"""What is refused changes nothing, and says which level, field or person stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from console.actors import Actor
from console.problems import ManageError
from console.shapes.keys import KeyBlock, KeyCreate, KeyPatch, KeyQuery, KeyRotate
from console.shapes.reading import read_fields
from tests.unit.console.edits.builders import ADMIN, LEAD, PLATFORM, VIEWER, WEB, Managed
from tollhouse.keyring.places import places
from tollhouse.keys import with_checksum
from tollhouse.policy.loader import load
from tollhouse.stanza import key_stanza

Files = Callable[[], dict[str, bytes]]
SITE = {"team": "web", "project": "site", "env": "prod"}
SECRET = with_checksum("aKeyThatNobodyHasAndMustNotShow1")


def refused(work: Callable[..., Any], *arguments: Any) -> ManageError:
    with pytest.raises(ManageError) as error:
        work(*arguments)
    return error.value


def create(managed: Managed, actor: Actor, **fields: Any) -> ManageError:
    return refused(lambda: managed.keys.create(actor, read_fields(KeyCreate, {**SITE, **fields})))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"allowed_models": ["meta/llama:3"]},
            (
                "exceeds_level",
                "allowed_models",
                "the project 'site' does not allow 'meta/llama:3': ask for less, or change it",
            ),
        ),
        (
            {"allowed_models": ["*"]},
            ("exceeds_level", "allowed_models", "the project 'site' does not allow 'meta/llama:3'"),
        ),
        (
            {"allowed_models": ["small", "large"], "env": "staging"},
            (
                "exceeds_level",
                "allowed_models",
                "the environment 'staging' of the org 'acme' denies 'large'",
            ),
        ),
        (
            {"allowed_models": ["smal"]},
            ("invalid_request", "allowed_models.0", "unknown model 'smal': did you mean 'small'?"),
        ),
        (
            {"denied_models": ["tag:dear"]},
            ("invalid_request", "denied_models.0", "no model has the tag 'dear'; known: cheap"),
        ),
        (
            {"model_limits": {"smal": {"requests_per_day": 1}}},
            (
                "invalid_request",
                "model_limits",
                "unknown model in 'model_limits': did you mean 'small'?",
            ),
        ),
        (
            {"limits": {"monthly_spend_usd": 1000}},
            (
                "exceeds_level",
                "limits.monthly_spend_usd",
                "monthly_spend_usd 1,000 is more than the team 'web' has, 500 USD a month",
            ),
        ),
        (
            {"limits": {"requests_per_minute": 101}},
            (
                "exceeds_level",
                "limits.requests_per_minute",
                "requests_per_minute 101 is more than the project 'site' has, 100 requests a",
            ),
        ),
        (
            {"limits": {"monthly_spend_usd": 51}, "env": "staging"},
            (
                "exceeds_level",
                "limits.monthly_spend_usd",
                "more than the environment 'staging' of the org 'acme' has, 50 USD a month",
            ),
        ),
        (
            {"model_limits": {"small": {"requests_per_minute": 101}}},
            (
                "exceeds_level",
                "model_limits.small.requests_per_minute",
                "more than the project 'site' has",
            ),
        ),
        (
            # The org has 1,000, the team 500, the environment 50.
            {"limits": {"monthly_spend_usd": 2000}, "env": "staging"},
            (
                "exceeds_level",
                "limits.monthly_spend_usd",
                "more than the environment 'staging' of the org 'acme' has, 50 USD a month",
            ),
        ),
        ({"env": None}, ("invalid_request", "env", "'env' is missing: one of prod, staging")),
        (
            {"env": "stagin"},
            ("invalid_request", "env", "there is no such environment: did you mean 'staging'?"),
        ),
        (
            {"metadata": {"env": "staging"}},
            (
                "invalid_request",
                "metadata.env",
                "'env' and 'metadata.env' mean the same and differ",
            ),
        ),
        (
            {"metadata": {"max_cost_per_month": 5}, "limits": {"monthly_spend_usd": 6}},
            (
                "invalid_request",
                "metadata.max_cost_per_month",
                "'limits.monthly_spend_usd' and 'metadata.max_cost_per_month' mean the same",
            ),
        ),
        (
            {"metadata": {"max_cost_per_month": True}},
            ("invalid_request", "metadata.max_cost_per_month", "must be a number"),
        ),
        (
            {"metadata": {"blocked_by": "me"}},
            ("invalid_request", "metadata.blocked_by", "written by block and unblock"),
        ),
        ({"expires": "soon"}, ("invalid_request", "expires", "must be a date such as 2030-12-31")),
        ({"expires": "2026-11-27"}, ("invalid_request", "expires", "is over already")),
        ({"expires": "99999w"}, ("invalid_request", "expires", "before the year 3000")),
        (
            {"team": "wbe"},
            (
                "not_found",
                "team",
                "there is no team 'wbe': did you mean 'web'? To make it, POST /manage/team first",
            ),
        ),
        ({"team": "WEB"}, ("not_found", "team", "did you mean 'web'?")),
        (
            {"project": "sit"},
            (
                "not_found",
                "project",
                "the team 'web' has no project 'sit': did you mean 'site'? To make it, POST"
                " /manage/project first",
            ),
        ),
        ({"id": "web-1"}, ("already_exists", "id", "there is a key of this id already")),
        (
            {"team": "t" * 100, "project": "p" * 100},
            ("invalid_request", "id", "no id can be made of these names"),
        ),
    ],
)
def test_a_key_that_may_not_be_is_not_made(
    managed: Managed, files: Files, fields: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    before = files()
    error = create(managed, ADMIN, **fields)
    code, param, said = expected
    assert (error.code, error.param) == (code, param)
    assert said in error.message
    assert files() == before
    assert managed.planned == []


def test_what_narrows_is_named_for_programs_too(managed: Managed) -> None:
    error = create(managed, ADMIN, limits={"monthly_spend_usd": "51.5"}, env="staging")
    assert error.details == {
        "level": "org",
        "name": "acme",
        "env": "staging",
        "field": "monthly_spend_usd",
        "limit": 50,
        "asked": 51.5,
    }
    error = create(managed, ADMIN, allowed_models=["small", "meta/*"])
    assert error.details == {
        "level": "project",
        "name": "site",
        "models": ["meta/llama:3"],
        "entries": ["meta/*"],
    }


def test_an_environment_is_moved_to_with_all_that_the_key_says(managed: Managed) -> None:
    asked = read_fields(KeyCreate, {**SITE, "allowed_models": ["large"]})
    made = managed.keys.create(ADMIN, asked)
    error = refused(managed.keys.patch, ADMIN, made.id, KeyPatch(env="staging"))
    assert "the environment 'staging' of the org 'acme' denies 'large'" in error.message


def test_a_team_lead_stays_within_bounds_that_others_have_set(managed: Managed) -> None:
    def made(**fields: Any) -> Any:
        return managed.keys.create(LEAD, read_fields(KeyCreate, {**SITE, **fields}))

    assert made(allowed_models=["small"]).models == ["small"]
    assert "project.write" in create(managed, LEAD, project="new").message
    error = create(managed, LEAD, team="ops", project="jobs")
    assert (error.code, error.status) == ("role_not_allowed", 403)
    managed.keys.create(ADMIN, read_fields(KeyCreate, {**SITE, "project": "open"}))
    error = create(managed, LEAD, project="open", allowed_models=["small"])
    assert error.code == "exceeds_level"
    assert "its own list would grant them, which a team-lead cannot" in error.message
    assert made(project="open").models == []


def test_a_team_lead_takes_back_only_their_own_block(managed: Managed) -> None:
    managed.keys.block(PLATFORM, "web-1", KeyBlock(reason="abuse"))
    assert refused(managed.keys.unblock, LEAD, "web-1").code == "role_not_allowed"
    # Nor by blocking it themselves.
    assert managed.keys.block(LEAD, "web-1", KeyBlock(reason="mine")).blocked_reason == "abuse"
    assert refused(managed.keys.unblock, LEAD, "web-1").code == "role_not_allowed"
    error = refused(
        managed.keys.patch, LEAD, "web-1", KeyPatch(metadata={"blocked_by": "sso:lee@example.com"})
    )
    assert error.param == "metadata.blocked_by"
    managed.keys.patch(LEAD, "web-1", KeyPatch(metadata=None))
    assert refused(managed.keys.unblock, LEAD, "web-1").code == "role_not_allowed"
    error = refused(managed.keys.delete, LEAD, "web-1")
    assert error.code == "role_not_allowed"
    assert "deletes no key that others have blocked" in error.message
    assert managed.keys.unblock(PLATFORM, "web-1").state == "active"


def test_a_block_that_an_administrator_repeats_is_theirs(managed: Managed) -> None:
    managed.keys.block(LEAD, "web-1", KeyBlock(reason="abuse"))
    view = managed.keys.block(ADMIN, "web-1", KeyBlock())
    assert (view.blocked_by, view.blocked_reason) == ("token:root", "abuse")
    assert refused(managed.keys.unblock, LEAD, "web-1").code == "role_not_allowed"
    managed.keys.block(ADMIN, "web-1", KeyBlock())
    assert len(managed.planned) == 2
    managed.keys.unblock(ADMIN, "web-1")
    managed.keys.block(LEAD, "web-1", KeyBlock())
    managed.keys.delete(LEAD, "web-1")


def test_keys_of_other_teams_are_as_if_they_were_not(managed: Managed) -> None:
    missing = refused(managed.keys.get, LEAD, "nothing-like-any-of-these")
    for work in (
        lambda ref: managed.keys.get(LEAD, ref),
        lambda ref: managed.keys.patch(LEAD, ref, KeyPatch(), "*"),
        lambda ref: managed.keys.delete(LEAD, ref),
        lambda ref: managed.keys.rotate(LEAD, ref, KeyRotate()),
        lambda ref: managed.keys.block(LEAD, ref, KeyBlock()),
        lambda ref: managed.keys.unblock(LEAD, ref),
    ):
        assert refused(work, "ops-1") == missing
    assert [key.id for key in managed.keys.list(LEAD, KeyQuery()).data] == ["web-1", "web-2"]


def test_who_may_only_look_is_told_before_anything_is_looked_up(managed: Managed) -> None:
    for ref in ("web-1", "ops-1", "none"):
        error = refused(managed.keys.delete, VIEWER, ref)
        assert (error.code, error.message) == (
            "role_not_allowed",
            "vic@example.com is viewer, and key.write is for admin, platform, team-lead",
        )
    assert managed.keys.get(VIEWER, "web-1").id == "web-1"


def test_a_string_that_is_no_key_is_not_repeated(managed: Managed) -> None:
    error = refused(managed.keys.get, ADMIN, SECRET)
    assert (error.code, error.param) == ("not_found", None)
    assert SECRET[:12] not in str(error.body())
    assert "did you mean 'web-1'?" in refused(managed.keys.get, ADMIN, "web1").message


def test_a_definition_that_changed_is_not_changed_again_unseen(
    managed: Managed, files: Files
) -> None:
    seen = managed.keys.get(PLATFORM, "web-1")
    # Edits elsewhere do not disturb.
    managed.keys.patch(PLATFORM, "web-2", KeyPatch(metadata={"x": 1}))
    now = managed.keys.patch(PLATFORM, "web-1", KeyPatch(metadata={"x": 1}), f'"{seen.etag}"')
    before = files()
    for work in (
        lambda tag: managed.keys.patch(PLATFORM, "web-1", KeyPatch(metadata={"x": 2}), tag),
        lambda tag: managed.keys.delete(PLATFORM, "web-1", tag),
        lambda tag: managed.keys.rotate(PLATFORM, "web-1", KeyRotate(), tag),
        lambda tag: managed.keys.block(PLATFORM, "web-1", KeyBlock(), tag),
        lambda tag: managed.keys.unblock(PLATFORM, "web-1", tag),
    ):
        for tag in (f'"{seen.etag}"', f'W/"{now.etag}"'):
            error = refused(work, tag)
            assert (error.code, error.status) == ("etag_mismatch", 412)
            assert error.details == {"etag": now.etag}
            assert ("weak ETags never match" in error.message) is tag.startswith("W/")
    assert files() == before
    managed.keys.patch(PLATFORM, "web-1", KeyPatch(), f'"other", "{now.etag}"')


@pytest.mark.parametrize("overlap", ["", "soon", "1y", "-1d", "366d"])
def test_an_overlap_is_a_duration(managed: Managed, overlap: str) -> None:
    managed.keys.rotate(ADMIN, "web-2", KeyRotate(overlap="365d"))
    error = refused(managed.keys.rotate, ADMIN, "web-1", KeyRotate(overlap=overlap))
    assert (error.code, error.param) == ("invalid_request", "overlap")


def test_a_fifth_earlier_key_is_not_kept(managed: Managed) -> None:
    for _ in range(4):
        managed.keys.rotate(ADMIN, "web-1", KeyRotate())
    error = refused(managed.keys.rotate, ADMIN, "web-1", KeyRotate())
    assert "4 earlier keys of 'web-1' are still valid, the first until 2026-12-05" in error.message


def test_a_policy_that_is_wrong_is_read_as_it_was_and_not_written(managed: Managed) -> None:
    managed.keys.get(ADMIN, "web-1")
    (managed.directory / "org.yaml").write_text("org: [\n")
    assert managed.keys.get(ADMIN, "web-1").id == "web-1"
    error = refused(managed.keys.patch, ADMIN, "web-1", KeyPatch())
    assert (error.code, error.status) == ("policy_invalid", 409)
    assert error.details["problems"][0]["file"] == "org.yaml"
    assert "org.yaml:2:1" in error.message
    for work in (
        lambda: managed.keys.patch(LEAD, "web-1", KeyPatch()),
        lambda: Managed(managed.directory).keys.get(LEAD, "web-1"),
    ):
        error = refused(work)
        assert (error.code, error.details) == ("policy_invalid", {})
        assert "org" not in error.message
        assert "tell an admin" in error.message


def test_what_the_services_would_not_take_is_refused_in_their_words(
    managed: Managed, files: Files
) -> None:
    text = managed.text("models.yaml").replace("    price: {input_per_million: 1, ", "    #")
    (managed.directory / "models.yaml").write_text(text.replace("model: llama", "model: of-ours"))
    (managed.directory / "org.yaml").write_text("org: acme\n")
    for name in ("teams/web.yaml", "teams/ops.yaml"):
        path = managed.directory / name
        path.write_text(path.read_text().replace("limits: {monthly_spend_usd: 500}   #", "#"))
    before = files()
    asked = {"team": "x", "project": "y", "allowed_models": ["meta/llama:3"]}
    limits = {"monthly_spend_usd": 1}
    error = refused(managed.keys.create, ADMIN, read_fields(KeyCreate, {**asked, "limits": limits}))
    assert (error.code, error.status) == ("policy_refused", 422)
    assert "'meta/llama:3' needs a price" in error.message
    assert len(error.details["problems"]) == 1
    assert files() == before


def test_a_key_has_at_most_64_names_of_metadata_and_can_be_blocked_all_the_same(
    managed: Managed,
) -> None:
    full: dict[str, Any] = {f"n{number}": number for number in range(63)}
    managed.keys.patch(ADMIN, "web-1", KeyPatch(metadata=full))
    error = refused(managed.keys.patch, ADMIN, "web-1", KeyPatch(metadata={"one-more": 1}))
    assert error.code == "policy_refused"
    assert "'metadata' has too many names: write at most 64" in error.message
    view = managed.keys.block(ADMIN, "web-1", KeyBlock(reason="why"))
    assert (view.state, len(view.metadata)) == ("blocked", 64)


def test_a_layout_that_only_people_can_edit_is_said(managed: Managed) -> None:
    text = WEB.replace("metadata: {owner: ann}", "? metadata\n        : {owner: ann}")
    (managed.directory / "teams/web.yaml").write_text(text)
    error = refused(managed.keys.patch, ADMIN, "web-1", KeyPatch(metadata=None))
    assert error.code == "layout_not_editable"
    assert "edit it by hand" in error.message
    assert managed.text("teams/web.yaml") == text


def test_nothing_is_written_when_what_comes_before_raises(managed: Managed, files: Files) -> None:
    def fails(_planned: object) -> None:
        raise ManageError("audit_unavailable", "no")

    managed.editor._before_write = fails
    before = files()
    assert create(managed, ADMIN).code == "audit_unavailable"
    assert files() == before


@pytest.mark.parametrize(
    "entry",
    [
        key_stanza({"id": "new", "env": "prod"}, "c1" * 32),
        f"- {{id: new, env: prod, sha256: {'c1' * 32}}}",
        f"- env: prod\n  limits:\n    requests_per_minute: 5\n  id: new\n  sha256: {'c1' * 32}",
        f"- id: new\n  env: prod\n  denied_models:\n  - large\n  sha256: '{'c1' * 32}'",
    ],
)
def test_a_key_s_line_is_the_one_that_the_command_line_tells(managed: Managed, entry: str) -> None:
    path = managed.directory / "teams/web.yaml"
    lines = "".join(f"      {line}\n" for line in entry.splitlines())
    path.write_text(WEB.replace("      - id: web-2", f"{lines}      - id: web-2"))
    told = {place.key.id: f"{place.file}:{place.line}" for place in places(load(managed.directory))}
    shown = managed.keys.list(ADMIN, KeyQuery()).data
    assert {key.id: key.where for key in shown} == told
