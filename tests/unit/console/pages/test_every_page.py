"""What holds of every page, for every role."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from console.pages.headers import CONTENT_SECURITY_POLICY
from console.permissions import may
from console.services import Services
from tests.support.console import TOKENS
from tests.support.html import Element, parsed
from tests.unit.console.pages.visitor import PAGES, ROOT, Visitor

_DOORS = ("/sign-in", "/sign-in?reason=expired")


async def _pages(visitor: Visitor, role: str) -> list[tuple[str, Element]]:
    """Those that the role may open, and those that everybody may."""
    await visitor.sign_in(role)
    answers = [(path, await visitor.get(path)) for path in (*PAGES, *_DOORS)]
    return [(path, parsed(answer.text)) for path, answer in answers if answer.status_code == 200]


@pytest.mark.parametrize("role", TOKENS)
async def test_a_page_opens_for_exactly_the_roles_that_may(
    visitor: Visitor, services: Services, role: str
) -> None:
    await visitor.sign_in(role)
    actor = services.identity.of_token(TOKENS[role], services.current.policy.snapshot, 0)
    found = {path: (await visitor.get(path)).status_code for path in PAGES}
    allowed = {path: 200 if may(actor, action) else 403 for path, action in PAGES.items()}  # type: ignore[arg-type]
    assert found == allowed


@pytest.mark.parametrize("role", TOKENS)
async def test_the_menu_leads_to_what_the_role_may_open_and_nowhere_else(
    visitor: Visitor, role: str
) -> None:
    await visitor.sign_in(role)
    links = [each.attributes["href"] for each in _menu(await visitor.page("")).all("a")]
    found = [(await visitor.client.get(link)).status_code for link in links]
    assert found == [200] * len(links)
    everything = [path for path in PAGES if path.count("/") < 2 and "?" not in path]
    hidden = [path for path in everything if ROOT + path not in links and "new" not in path]
    assert {(await visitor.get(path)).status_code for path in hidden} <= {403}


def _menu(page: Element) -> Element:
    return next(each for each in page.all("ul") if each.attributes.get("class") == "menu")


async def test_every_answer_forbids_what_is_not_the_consoles_own(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    paths = [
        *PAGES,
        *_DOORS,
        "/keys/none",
        "/keys/web-1/block",
        "/static/console.css",
        "/static/none",
    ]
    for path in paths:
        answer = await visitor.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["referrer-policy"] == "same-origin", path
        if "static" not in path:
            assert answer.headers["cache-control"] == "no-store", path


@pytest.mark.parametrize("role", ["admin", "lead", "auditor"])
async def test_nothing_on_a_page_needs_what_the_content_security_policy_forbids(
    visitor: Visitor, role: str
) -> None:
    for path, page in await _pages(visitor, role):
        for each in page.all():
            assert "style" not in each.attributes, (path, each)
            assert not [name for name in each.attributes if name.startswith("on")], (path, each)
            assert each.name not in ("style", "iframe", "object"), path
            if each.name == "script":
                assert each.attributes["src"].startswith(f"{ROOT}/static/"), path
                assert not each.words, path


@pytest.mark.parametrize("role", TOKENS)
async def test_every_field_of_a_form_has_a_label(visitor: Visitor, role: str) -> None:
    for path, page in await _pages(visitor, role):
        labelled = {each.attributes.get("for") for each in page.all("label")}
        for each in page.all("input", "select", "textarea"):
            if each.attributes.get("type") == "hidden" or "hidden" in each.attributes:
                continue
            wrapped = any(above.name == "label" for above in each.above())
            assert wrapped or each.attributes.get("id") in labelled, (path, each.attributes)


@pytest.mark.parametrize("role", ["admin", "webviewer"])
async def test_screen_readers_find_their_way(visitor: Visitor, role: str) -> None:
    for path, page in await _pages(visitor, role):
        ids = Counter(each.attributes["id"] for each in page.all() if "id" in each.attributes)
        assert max(ids.values()) == 1, (path, ids.most_common(3))
        named = [
            each.attributes[attribute].split()
            for each in page.all()
            for attribute in ("aria-labelledby", "aria-describedby", "for")
            if attribute in each.attributes
        ]
        assert set(itertools.chain(*named)) <= ids.keys(), path
        assert page.one("html").attributes["lang"] == "en"
        assert len(list(page.all("h1"))) == 1, path
        assert page.one("head").one("title").text.count("·") == 2, path
        assert next(page.all("a")).attributes["href"] == "#main", path
        assert page.one("main").attributes["id"] == "main"


@pytest.mark.parametrize("role", ["admin", "webviewer"])
async def test_tables_have_headings_and_pictures_have_words(visitor: Visitor, role: str) -> None:
    for path, page in await _pages(visitor, role):
        for heading in page.all("th"):
            assert heading.attributes.get("scope") in ("row", "col", "rowgroup"), (path, heading)
        for picture in page.all("svg"):
            is_decoration = picture.attributes.get("aria-hidden") == "true"
            words = picture.attributes.get("aria-label") or picture.attributes.get(
                "aria-labelledby"
            )
            assert is_decoration or (words and picture.attributes["role"] == "img"), path
        for picture in page.all("img"):
            assert "alt" in picture.attributes, path


async def test_each_value_of_a_wide_table_says_what_it_is_where_rows_are_cards(
    visitor: Visitor,
) -> None:
    wide = 0
    for path, page in await _pages(visitor, "admin"):
        for table in page.all("table"):
            headings = [each.words for each in table.one("thead").all("th")]
            if len(headings) < 4:
                continue
            wide += 1
            assert "rows" in table.attributes["class"].split(), path
            for row in [each for body in table.all("tbody", "tfoot") for each in body.all("tr")]:
                cells = list(row.all("td"))
                assert len(cells) in (0, len(headings) - 1), path
                for heading, cell in zip(headings[1:], cells, strict=False):
                    said = cell.attributes.get("data-label")
                    # A bar says its share beside it.
                    assert heading in (said, "Share"), (path, heading)
    assert wide > 10


async def test_what_the_policy_says_is_text_and_never_markup(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    for path in ("/keys", "/keys/web-1", "/teams/web"):
        page = await visitor.page(path)
        assert "<b>ann</b>" in page.text, path
        assert not list(page.all("b")), path


async def test_no_page_shows_a_hash_of_a_key_or_token(visitor: Visitor, services: Services) -> None:
    snapshot = services.current.policy.snapshot
    assert snapshot.management is not None
    hashes = [
        *(key.sha256 for key in snapshot.keys.values()),
        *(token.sha256 for token in snapshot.management.tokens.values()),
    ]
    await visitor.sign_in("admin")
    for path in PAGES:
        text = (await visitor.get(path)).text
        assert not [each for each in hashes if each[:16] in text], path


async def test_who_sees_one_team_sees_nothing_of_the_others(visitor: Visitor) -> None:
    await visitor.sign_in("webviewer")
    for path, action in PAGES.items():
        answer = await visitor.get(path)
        if action in ("usage.read", "team.read", "key.read") and answer.status_code == 200:
            assert "ops" not in [each.words for each in parsed(answer.text).all("a")], path
    answer = await visitor.get("/teams/ops")
    assert answer.status_code == 404
    assert "there is no such team" in answer.text


async def test_what_is_not_there_is_said_on_a_page(visitor: Visitor) -> None:
    await visitor.sign_in("admin")
    for path in (
        *("/teams/none", "/teams/web/projects/none", "/keys/none", "/models/none"),
        *("/audit/999", "/audit/x", "/policy/diff?from=000000000000", "/nowhere/at/all"),
    ):
        answer = await visitor.get(path)
        assert answer.status_code == 404, path
        assert parsed(answer.text).one("h1").words == "Not found"
