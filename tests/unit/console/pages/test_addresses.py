"""Addresses that somebody wrote by hand, or that somebody else made up for them."""

from __future__ import annotations

import pytest

from tests.support.html import parsed
from tests.unit.console.pages.visitor import Visitor


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ('team="><img src=x>', "'team'"),
        ("team=" + "a" * 200, "'team'"),
        ("key=" + "a" * 201, "'key' is too long"),
        ("from=2026-99-99", "'from' is not a day: write it as 2026-11-28."),
        ("to=tomorrow", "'to' is not a day: write it as 2026-11-28."),
        ("group_by=foo", "Usage is summed up by team, project, key, model, day"),
        ("from=2026-11-02&to=2026-11-01", "2026-11-01 is before 2026-11-02"),
        ("to=9999-12-31", "This page shows 400 days at most"),
    ],
)
async def test_usage_says_what_is_wrong_with_its_address_and_shows_the_last_days(
    visitor: Visitor, query: str, told: str
) -> None:
    await visitor.sign_in("viewer")
    page = await visitor.page(f"/usage?{query}")
    alert = page.one("div", role="alert").words
    assert told in alert
    assert "The last 30 days by team are shown." in alert
    assert page.one("input", id="to").attributes["value"]
    assert "In all $12.34" in page.words


@pytest.mark.parametrize(
    "query",
    [
        *("from=0001-01-01&to=0001-01-02", "from=9999-12-30&to=9999-12-31"),
        *("team=gone", "team=nobody.here", "model=none", "key=%00", "project=a/b"),
    ],
)
async def test_usage_of_what_there_is_none_of_is_nothing(visitor: Visitor, query: str) -> None:
    await visitor.sign_in("viewer")
    page = await visitor.page(f"/usage?{query}")
    assert "Nothing was used in these days." in page.words


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("to=9999-12-31T23:59:59-14:00", "A calendar has no such time"),
        ("to=9999-12-31", "A calendar has no such time"),
        ("from=0001-01-01T00:00:00%2B14:00", "A calendar has no such time"),
        ("from=2026-99-99", "'2026-99-99' is not a time"),
        ("from=2026-11-02&to=2026-11-01", "nothing is between"),
    ],
)
async def test_the_audit_log_says_what_is_wrong_with_its_address(
    visitor: Visitor, query: str, told: str
) -> None:
    await visitor.sign_in("auditor")
    answer = await visitor.get(f"/audit?{query}")
    assert answer.status_code == 200
    assert told in parsed(answer.text).one("div", role="alert").words
