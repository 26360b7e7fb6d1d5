"""Logs and the ledger name what the policy holds no more: it is shown, and leads nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.pages.views.known import Known
from tests.support.html import Element
from tests.support.policy import write_tree
from tests.unit.console.pages.visitor import ROOT, Visitor
from tollhouse.policy.compiler import load_snapshot

_WITHOUT_SITE = """\
team: web
projects:
  blog:
    allowed_models: [small]
    keys: []
"""


@pytest.mark.parametrize(
    ("target", "href"),
    [
        ("key:web-1", f"{ROOT}/keys/web-1"),
        ("team:web", f"{ROOT}/teams/web"),
        ("project:web/site", f"{ROOT}/teams/web/projects/site"),
        ("model:small", f"{ROOT}/models/small"),
        *(("key:web/site", None), ("key:?", None), ("key:web-2", None), ("key:", None)),
        *(("team:none", None), ("project:web", None), ("project:web/none", None)),
        *(("project:none/site", None), ("model:none", None), ("token:web", None), ("", None)),
    ],
)
def test_a_target_is_a_link_only_where_it_is_there(
    tmp_path: Path, target: str, href: str | None
) -> None:
    assert Known(load_snapshot(write_tree(tmp_path))).target(target) == href


async def test_what_was_deleted_is_named_and_is_no_link(visitor: Visitor, policies: Path) -> None:
    await visitor.sign_in("lead")
    await visitor.post("/keys/web-1/block", {})
    await visitor.sign_in("admin")
    assert _leads(await visitor.page("/audit"), "key:web-1") == [True]
    # The third is in the table of keys.
    assert _leads(await visitor.page("/teams/web"), "site") == [True, True, False]
    (policies / "teams" / "web.yaml").write_text(_WITHOUT_SITE)
    assert _leads(await visitor.page("/audit"), "key:web-1") == [False]
    assert _leads(await visitor.page("/teams/web"), "site") == [False]
    for path, name in (("", "web-1"), ("/usage?group_by=project", "web / site")):
        assert _leads(await visitor.page(path), name) == [False], path
    assert _leads(await visitor.page("/usage?group_by=key"), "web-1") == [False]


def _leads(page: Element, words: str) -> list[bool]:
    """Of each place in the page that says just this: whether it is a link."""
    main = page.one("main")
    links = [each for each in main.all("a") if each.words == words]
    texts = [
        each
        for each in main.all("td", "th", "span")
        if each.words == words and not list(each.all("a"))
    ]
    return [True] * len(links) + [False] * len(texts)
