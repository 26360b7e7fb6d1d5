"""Where pages are, and where signing in may lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.pages.views import links
from console.pages.views.links import ROOT


@pytest.mark.parametrize(
    "wanted",
    [
        *(None, "", "/", "/manage", "/manage/uix", "https://evil.example/manage/ui"),
        *("//evil.example/manage/ui", "/manage/ui/../../v1/models", "/manage/ui/%2e%2e/x/.."),
        *("/manage/ui\\@evil.example", "/manage/ui/\r\nset-cookie: a=b", "/manage/ui/\u202e"),
        *("javascript:alert(1)", "/manage/ui/./x", "/manage/ui/%2e%2e/v1", "/manage/ui/.%2E/x"),
    ],
)
def test_signing_in_leads_nowhere_but_into_the_console(wanted: str | None) -> None:
    assert links.safe_next(wanted) == ROOT


@pytest.mark.parametrize(
    "wanted", [ROOT, f"{ROOT}/keys?q=a%20b&after=..", f"{ROOT}/models/team/gpt#top"]
)
def test_signing_in_leads_to_the_page_that_was_asked_for(wanted: str) -> None:
    assert links.safe_next(wanted) == wanted


@given(st.text())
def test_whatever_is_asked_for_stays_inside(wanted: str) -> None:
    found = links.safe_next(wanted)
    assert found == ROOT or found.startswith((f"{ROOT}/", f"{ROOT}?", f"{ROOT}#"))


def test_names_are_quoted_and_a_models_slashes_are_not() -> None:
    assert links.key("a/b?c") == f"{ROOT}/keys/a%2Fb%3Fc"
    assert links.model("openai/gpt 5") == f"{ROOT}/models/openai/gpt%205"
    assert links.with_query("/x", a=None, b="", c="ü&", d=0) == "/x?c=%C3%BC%26&d=0"
