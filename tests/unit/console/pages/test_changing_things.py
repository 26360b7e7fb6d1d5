"""Keys, models and tokens through the forms of the pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.audit.search import search_audit
from console.pages.rendering import environment
from console.pages.views.numbers import NOTHING
from console.problems import ManageError
from console.services import Services
from tests.support import console
from tests.support.html import Element, parsed
from tests.unit.console.pages.visitor import ROOT, Visitor, visiting
from tollhouse import keys
from tollhouse.endpoints import CHECKED, UNCHECKED

_NEW = {"team": "web", "project": "site", "models": "all", "expires": "90d"}


def _says(page: Element, words: str) -> bool:
    return words in page.words


async def test_a_new_key_is_shown_once_with_how_to_use_it(
    visitor: Visitor, services: Services
) -> None:
    await visitor.sign_in("lead")
    answer = await visitor.post(
        "/new-key", {**_NEW, "limits.requests_per_minute": "30", "metadata.owner": "ann"}
    )
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    page = parsed(answer.text)
    api_key = page.one("input", id="api-key").attributes["value"]
    key_id = services.reader.now().snapshot.keys_by_hash[keys.sha256_hex(api_key)].id
    assert _says(page, "This is the only time that the key is shown.")
    curl, python = (each.text for each in page.all("pre"))
    assert "curl http://console/v1/chat/completions" in curl
    assert f'OpenAI(base_url="http://console/v1", api_key="{api_key}")' in python
    assert 'model="small"' in python
    for path in (f"/keys/{key_id}", "/keys", "/new-key?team=web&project=site", ""):
        assert api_key not in (await visitor.get(path)).text


async def test_a_key_that_asks_for_too_much_names_the_level_beside_the_field_and_keeps_the_rest(
    visitor: Visitor, services: Services
) -> None:
    await visitor.sign_in("lead")
    form = {**_NEW, "limits.monthly_spend_usd": "75", "metadata.owner": "ann"}
    answer = await visitor.post("/new-key", form)
    assert answer.status_code == 422
    page = parsed(answer.text)
    field = page.one("input", name="limits.monthly_spend_usd")
    assert field.attributes["value"] == "75"
    assert field.attributes["aria-invalid"] == "true"
    told = page.one("p", id=field.attributes["aria-describedby"].strip()).text
    assert "project 'site'" in told
    assert page.one("input", name="metadata.owner").attributes["value"] == "ann"
    assert len(services.reader.now().snapshot.keys) == 1


@pytest.mark.parametrize(
    ("path", "form", "told"),
    [
        ("/new-key", {**_NEW, "limits.requests_per_day": "x"}, "Requests a day must be a whole"),
        ("/new-key", {**_NEW, "limits.monthly_spend_usd": "75"}, "USD a month 75 is more than"),
        ("/new-key", {**_NEW, "expires": "date"}, "Ends must be"),
        ("/keys/web-1/change", {"limits.daily_spend_usd": "x"}, "USD a day must be"),
        ("/new-model", {}, "Name is missing"),
        ("/tokens", {"role": "viewer"}, "Id is missing"),
    ],
)
async def test_a_refused_form_names_its_field_as_its_label_does(
    visitor: Visitor, path: str, form: dict[str, str], told: str
) -> None:
    await visitor.sign_in("admin")
    page = parsed((await visitor.post(path, form)).text)
    assert f"Nothing was changed. {told}" in page.one("div", id="failure").words


async def test_a_project_that_is_not_there_is_made_by_who_may_and_by_nobody_else(
    visitor: Visitor, services: Services
) -> None:
    form = {**_NEW, "project": "blog", "models": "some", "allowed_models": ["small"]}
    await visitor.sign_in("lead")
    assert (await visitor.post("/new-key", form)).status_code == 403
    await visitor.sign_in("platform")
    answer = await visitor.post("/new-key", form)
    assert answer.status_code == 200
    assert "blog" in services.reader.now().snapshot.teams["web"].projects


async def test_a_key_is_blocked_with_a_reason_and_unblocked(
    visitor: Visitor, services: Services
) -> None:
    await visitor.sign_in("lead")
    answer = await visitor.post("/keys/web-1/block", {"reason": "leaked in a ticket"})
    assert answer.status_code == 303
    page = parsed((await visitor.client.get(answer.headers["location"])).text)
    assert _says(page, "blocked at the key, because “leaked in a ticket”")
    assert services.reader.now().snapshot.keys["web-1"].blocked_at == "key"
    await visitor.post("/keys/web-1/unblock", {})
    assert services.reader.now().snapshot.keys["web-1"].blocked_at is None


async def test_a_block_of_the_team_is_not_told_with_the_reason_of_the_keys_own(
    visitor: Visitor, policies: Path
) -> None:
    await visitor.sign_in("lead")
    await visitor.post("/keys/web-1/block", {"reason": "leaked in a ticket"})
    written = policies / "teams" / "web.yaml"
    written.write_text(written.read_text().replace("team: web\n", "team: web\nblocked: true\n"))
    page = await visitor.page("/keys/web-1")
    assert _says(page, "Every call is refused : blocked at the team.")
    assert "leaked in a ticket" not in page.words


async def test_what_a_key_spent_is_renewed_with_its_limits(visitor: Visitor) -> None:
    await visitor.sign_in("viewer")
    page = await visitor.page("/keys/web-1")
    live = {each.attributes["id"]: each for each in page.all() if "data-live" in each.attributes}
    assert live.keys() == {"live-spent", "live-limits"}
    assert _says(live["live-spent"], "Spent $12.34")
    assert _says(live["live-spent"], "small $12.34")


async def test_a_rotated_key_is_shown_once_and_the_old_one_has_an_end(visitor: Visitor) -> None:
    await visitor.sign_in("lead")
    page = parsed((await visitor.post("/keys/web-1/rotate", {"overlap": "24h"})).text)
    assert page.one("input", id="api-key").attributes["value"].startswith(keys.PREFIX)
    assert _says(page, "The key before it stays valid until")
    assert _says(await visitor.page("/keys/web-1"), "Keys before it valid until")


async def test_a_keys_limits_are_changed_and_what_is_emptied_is_gone(
    visitor: Visitor, services: Services
) -> None:
    await visitor.sign_in("lead")
    etag = _etag(await visitor.page("/keys/web-1"), "change")
    form = {"etag": etag, "models": "all", "expires": "keep", "limits.tokens_per_minute": "9,000"}
    answer = await visitor.post("/keys/web-1/change", form)
    assert answer.status_code == 303
    limits = services.reader.now().snapshot.keys["web-1"].limits
    assert (limits.tokens_per_minute, limits.requests_per_minute) == (9000, None)


async def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused_and_kept_in_the_form(
    visitor: Visitor,
) -> None:
    await visitor.sign_in("lead")
    etag = _etag(await visitor.page("/keys/web-1"), "change")
    form = {"etag": etag, "models": "all", "expires": "keep", "limits.tokens_per_minute": "9000"}
    await visitor.post("/keys/web-1/change", form)
    answer = await visitor.post("/keys/web-1/change", {**form, "limits.tokens_per_minute": "1234"})
    assert answer.status_code == 412
    page = parsed(answer.text)
    assert _says(page, "Somebody changed this since you opened the page.")
    assert page.one("input", name="limits.tokens_per_minute").attributes["value"] == "1234"


async def test_the_address_of_a_form_leads_back_to_what_it_is_about(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    assert (await visitor.get("/keys/web-1/block")).headers["location"] == f"{ROOT}/keys/web-1"
    assert (await visitor.get("/tokens/x/delete")).headers["location"] == f"{ROOT}/tokens"


def test_where_the_policy_is_read_only_the_page_shows_the_patch_for_git() -> None:
    parts = environment().get_template("parts.html").module
    details = {"patch": "--- a/teams/web.yaml\n+ x: <y>\n"}
    error = ManageError("policy_read_only", "the policy directory is read-only", details=details)
    page = parsed(str(parts.failure(error)))  # type: ignore[attr-defined]
    assert page.one("pre").text.strip() == details["patch"].strip()
    assert _says(page, "Nothing was changed. the policy directory is read-only")


async def test_a_key_is_deleted_once_its_id_is_typed(visitor: Visitor, services: Services) -> None:
    await visitor.sign_in("lead")
    refused = await visitor.post("/keys/web-1/delete", {"confirm": "web"})
    assert refused.status_code == 400
    assert "web-1" in services.reader.now().snapshot.keys
    await visitor.post("/keys/web-1/delete", {"confirm": "web-1"})
    assert "web-1" not in services.reader.now().snapshot.keys


@pytest.mark.parametrize("role", ["viewer", "auditor", "webviewer"])
async def test_who_may_only_look_finds_no_form_and_is_refused_and_recorded(
    visitor: Visitor, services: Services, role: str
) -> None:
    await visitor.sign_in(role)
    page = await visitor.page("/keys/web-1")
    actions = [each.attributes.get("action") for each in page.all("form")]
    assert actions == [f"{ROOT}/sign-out"]
    assert (await visitor.post("/keys/web-1/block", {})).status_code == 403
    assert services.reader.now().snapshot.keys["web-1"].blocked_at is None


async def test_a_refused_change_is_on_record(visitor: Visitor, services: Services) -> None:
    await visitor.sign_in("lead")
    await visitor.post("/new-key", {**_NEW, "limits.monthly_spend_usd": "75"})
    (record,) = search_audit(services.audit.path, limit=1)
    told = [record.fields[name] for name in ("action", "target", "outcome", "code")]
    assert told == ["key.create", "project:web/site", "refused", "exceeds_level"]


@pytest.mark.parametrize(
    ("asked", "form", "told"),
    [
        ("viewer /keys/web-1/block", {}, "key.block key:web-1 role_not_allowed"),
        ("viewer /new-key", _NEW, "key.create project:web/site role_not_allowed"),
        ("viewer /tokens", {"id": "x"}, "token.create token:x role_not_allowed"),
        ("lead /tokens/admin/delete", {}, "token.delete token:admin role_not_allowed"),
        ("lead /new-model", {"alias": "team/x"}, "model.create model:team/x role_not_allowed"),
        ("lead /models/small", {}, "model.change model:small role_not_allowed"),
        ("lead /keys/none/rotate", {}, "key.rotate key:? not_found"),
        ("platform /models/none", {"action": "delete"}, "model.delete model:? not_found"),
        ("admin /new-key", {"team": "<b>"}, "key.create project:?/? invalid_request"),
        ("admin /tokens", {"role": "king"}, "token.create token:? invalid_request"),
        ("admin /new-model", {}, "model.create model:? invalid_request"),
    ],
)
async def test_what_is_refused_before_anything_is_tried_is_on_record_once(
    visitor: Visitor, services: Services, asked: str, form: dict[str, str], told: str
) -> None:
    role, path = asked.split()
    await visitor.sign_in(role)
    assert (await visitor.post(path, form)).status_code in (400, 403, 404)
    record, before = search_audit(services.audit.path, limit=2)
    assert " ".join(record.fields[name] for name in ("action", "target", "code")) == told
    assert (record.fields["outcome"], record.fields["actor"]["id"]) == ("refused", role)
    assert before.fields["action"] == "sign_in"


async def test_who_did_what_to_a_key_is_on_its_page_for_auditors(visitor: Visitor) -> None:
    await visitor.sign_in("lead")
    await visitor.post("/keys/web-1/block", {"reason": "leaked"})
    await visitor.sign_in("auditor")
    page = await visitor.page("/keys/web-1")
    assert _says(page, "lead key.block allowed")
    link = next(
        a for a in page.all("a") if re.fullmatch(ROOT + r"/audit/\d+", a.attributes["href"])
    )
    record = parsed((await visitor.client.get(link.attributes["href"])).text)
    assert _says(record, "blocked not there true")
    assert _says(record, "team-lead by token")


async def test_versions_of_the_policy_say_who_made_them_and_what_they_changed(
    visitor: Visitor, services: Services
) -> None:
    await visitor.sign_in("admin")
    await visitor.post("/keys/web-1/block", {"reason": "leaked"})
    # As the console does when it sees that the files changed.
    services.history.keep(services.reader.now().tree, services.now())
    page = await visitor.page("/policy")
    assert _says(page, "admin key.block key:web-1")
    link = next(a for a in page.all("a") if "/policy/diff" in a.attributes["href"])
    diff = parsed((await visitor.client.get(link.attributes["href"])).text)
    assert _says(diff, "narrows")
    assert _says(diff, "web")


async def test_a_model_is_added_changed_and_deleted(visitor: Visitor, services: Services) -> None:
    await visitor.sign_in("platform")
    form = {
        "alias": "team/new",
        "provider": "openai",
        "model": "gpt-4o",
        "endpoints": "chat/completions",
        "price.input_per_million": "2.50",
        "price.output_per_million": "10",
    }
    answer = await visitor.post("/new-model", form)
    assert answer.headers["location"] == f"{ROOT}/models/team/new?done=create"
    page = await visitor.page("/models/team/new")
    assert _says(page, "Output $10.00")
    assert _says(page, "Stated in the policy.")
    changed = {**form, "price.output_per_million": "12", "description": "Newer."}
    await visitor.post("/models/team/new", changed)
    assert services.reader.now().snapshot.aliases["team/new"].description == "Newer."
    await visitor.post("/models/team/new", {"action": "delete", "confirm": "team/new"})
    assert "team/new" not in services.reader.now().snapshot.aliases


async def test_a_model_that_is_in_use_says_so_when_it_is_to_be_deleted(visitor: Visitor) -> None:
    await visitor.sign_in("platform")
    answer = await visitor.post("/models/small", {"action": "delete", "confirm": "small"})
    assert answer.status_code == 409
    assert parsed(answer.text).one("div", role="alert")


async def test_a_token_is_made_shown_once_and_works(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    form = {"id": "finance", "role": "viewer", "expires": "90d"}
    page = parsed((await visitor.post("/tokens", form)).text)
    token = page.one("input", id="new-token").attributes["value"]
    assert token not in (await visitor.get("/tokens")).text
    visitor.client.cookies.clear()
    assert (await visitor.post("/sign-in", {"token": token})).status_code == 303
    assert _says(await visitor.page(""), "finance viewer")


async def test_nobody_deletes_the_token_that_they_are_using(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    answer = await visitor.post("/tokens/admin/delete", {})
    assert answer.status_code == 403
    assert "another admin has to delete it" in answer.text


async def test_figures_are_those_of_the_ledger(visitor: Visitor) -> None:
    await visitor.sign_in("viewer")
    overview = await visitor.page("")
    assert _says(overview, "Spent $12.34")
    assert _says(overview, "web 12% $12.34")
    assert _says(overview, "budget_exceeded 3")
    key = await visitor.page("/keys/web-1")
    assert _says(key, f"Spend a month 61% $12.34 {NOTHING} $7.66 $20.00")
    usage = await visitor.page("/usage?group_by=model")
    assert _says(usage, "small $12.34 100% 1 1.2 M 0 34 k 3 0")


async def test_who_sees_some_teams_is_told_that_a_models_figures_are_of_these(
    visitor: Visitor, policies: Path
) -> None:
    await visitor.sign_in("webviewer")
    page = await visitor.page("/models/team/spare")
    assert _says(page, "Spent this month by your teams $0.00")
    assert _says(page, "None of your teams called it this month.")
    assert _says(page, "Spend of your teams, last 30 days")
    assert _says(await visitor.page("/models"), "Spent by your teams this month")
    await visitor.sign_in("viewer")
    page = await visitor.page("/models/team/spare")
    assert _says(page, "Nobody called it this month.")
    assert "your teams" not in page.words


async def test_the_csv_has_what_the_page_shows(visitor: Visitor) -> None:
    await visitor.sign_in("viewer")
    page = await visitor.page("/usage?group_by=key&team=web")
    link = next(a for a in page.all("a") if a.words == "Download as CSV").attributes["href"]
    answer = await visitor.client.get(link)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "web-1,1,1200000,34000,0,12.34,0" in answer.text


async def test_without_a_ledger_a_key_can_be_looked_at_and_blocked(
    policies: Path, tmp_path: Path
) -> None:
    built = console.services(policies, tmp_path / "away", "unix:///nowhere/redis.sock")
    async with visiting(built) as visitor:
        await visitor.sign_in("lead")
        for path in ("", "/teams", "/teams/web", "/keys", "/keys/web-1", "/models", "/usage"):
            assert _says(await visitor.page(path), "Numbers are missing."), path
        await visitor.post("/keys/web-1/block", {})
        assert built.reader.now().snapshot.keys["web-1"].blocked_at == "key"
    await built.readings.close()


async def test_mistakes_in_the_files_are_told_where_they_are_and_nothing_is_written(
    visitor: Visitor, policies: Path
) -> None:
    await visitor.sign_in("admin")
    (policies / "org.yaml").write_text("org: [\n")
    answer = await visitor.post("/keys/web-1/block", {})
    assert answer.status_code == 409
    assert "org.yaml" in answer.text


def _etag(page: Element, action: str) -> str:
    form = page.one("form", action=f"{ROOT}/keys/web-1/{action}")
    return form.one("input", name="etag").attributes["value"]


async def test_saving_a_model_keeps_what_the_form_does_not_show(
    visitor: Visitor, services: Services, policies: Path
) -> None:
    price = "{input_per_million: 2, output_per_million: 8, per_request: 0.5, per_image: 0.04}"
    written = policies / "models.yaml"
    kept = f"  kept: {{provider: openai, model: gpt-4o, max_tokens_for_tools: 9, price: {price}}}\n"
    written.write_text(written.read_text() + kept)
    await visitor.sign_in("platform")
    page = await visitor.page("/models/kept")
    assert _says(page, "request $0.50 each")
    inputs = [each for each in page.all("input") if each.attributes.get("name") == "endpoints"]
    boxes = {each.attributes["value"]: each for each in inputs}
    assert boxes.keys() == CHECKED | UNCHECKED
    ticked = {name for name, box in boxes.items() if "checked" in box.attributes}
    assert ticked == {"chat/completions"}
    form = {
        "provider": "openai",
        "model": "gpt-4o",
        "endpoints": "chat/completions",
        "price.input_per_million": "3",
        "price.output_per_million": "8",
    }
    answer = await visitor.post("/models/kept", form)
    assert answer.status_code == 303
    assert kept.replace("input_per_million: 2", "input_per_million: 3") in written.read_text()
