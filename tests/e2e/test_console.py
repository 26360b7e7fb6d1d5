"""The console in a real Chromium, through the real Envoy."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support.browser import Browser, Scheme, browsing
from tests.support.gateway import Gateway, running, wait_for
from tests.support.managed import ADMIN, LEAD, chat, example_tree
from tollhouse.demo import DEMO_KEYS

ROOT = "/manage/ui"
PAGES = (
    *("", "/teams", "/teams/marketing", "/teams/marketing/projects/website-ai-assistant"),
    *("/keys", "/keys/marketing-website-prod-1", "/new-key", "/models", "/models/gpt4_limited"),
    *("/new-key?team=marketing&project=website-ai-assistant", "/new-model", "/usage", "/policy"),
    *("/audit", "/audit/1", "/tokens"),
)

# What a person with a keyboard reaches, in order, and whether they see where they are.
_WALK = """
const seen = [];
for (const each of document.querySelectorAll("a, button, input, select, summary, [tabindex='0']")) {
  if (each.type === "hidden" || each.hidden || !each.checkVisibility()) continue;
  each.focus({focusVisible: true});
  const style = getComputedStyle(each);
  seen.push({
    what: each.outerHTML.slice(0, 80),
    focused: document.activeElement === each,
    outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    tabindex: each.tabIndex,
  });
}
return seen;
"""
_SELECTED = """
const field = document.getElementById("api-key");
return [field.selectionStart, field.selectionEnd];
"""
_OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Tables that have to be scrolled sideways, and labels that are cut off.
_HIDDEN = """
const wide = [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth);
const cut = [...document.querySelectorAll(".chart .y text")].filter(e => e.getBBox().x < 0);
return [...wide, ...cut].map(e => e.getAttribute("aria-label") ?? e.textContent);
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The example, whose policy these tests change."""
    folder = tmp_path_factory.mktemp("console")
    with running(example_tree(folder / "policies"), folder / "run") as made:
        yield made


@pytest.fixture
def browser() -> Iterator[Browser]:
    with browsing() as made:
        yield made


def _sign_in(browser: Browser, gateway: Gateway, token: str = ADMIN) -> None:
    browser.open(f"{gateway.endpoint}{ROOT}")
    browser.fill("Management token", token)
    browser.press("Sign in")
    browser.wait_text("This month")


def test_a_key_is_minted_used_seen_to_spend_and_blocked(gateway: Gateway, browser: Browser) -> None:
    _sign_in(browser, gateway)
    browser.press("Keys")
    browser.press("Create a key")
    browser.field("Project").send_keys("marketing / website-ai-assistant")
    browser.press("Continue")
    browser.field("Environment").send_keys("prod")
    browser.fill("Owner", "ann@example.com")
    browser.fill("USD a month", "50")
    browser.press("Create the key")
    browser.wait_text("This is the only time that the key is shown.")
    api_key = browser.find("#api-key").get_attribute("value")
    assert api_key and api_key.startswith("tlh_")

    client = openai.OpenAI(api_key=api_key, base_url=f"{gateway.endpoint}/v1", max_retries=0)
    messages = [{"role": "user", "content": "Say hello"}]
    for _ in range(3):
        client.chat.completions.create(model="gpt4_limited", messages=messages)  # type: ignore[call-overload]

    browser.press("Go to the key")
    browser.wait_text("Limits now")
    key_page = browser.path
    assert api_key not in browser.driver.page_source
    wait_for(lambda: _calls_today(browser, gateway, key_page) == 3, "the calls on the key's page")
    spent = browser.find(".tile dd").text
    assert "$" in spent and spent != "$0.00"

    browser.press("Block: refuse every call at once")
    browser.fill("Reason", "leaked in a ticket")
    browser.press("Block this key")
    browser.wait_text("Every call is refused")
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(model="gpt4_limited", messages=messages)  # type: ignore[call-overload]
    assert "blocked" in str(refused.value)

    browser.press("Unblock")
    browser.wait_text("The key may be used again.")
    client.chat.completions.create(model="gpt4_limited", messages=messages)  # type: ignore[call-overload]
    assert browser.errors() == []


def _calls_today(browser: Browser, gateway: Gateway, path: str) -> int:
    """As the last bar of the second chart says, which is of requests; 0 while it is not drawn."""
    browser.open(gateway.endpoint + path)
    titles = browser.script(
        "return [...document.querySelectorAll('.chart rect.last title')].map(t => t.textContent)"
    )
    return int(titles[1].rpartition(": ")[2].replace(",", "")) if len(titles) > 1 else 0


def test_what_is_shown_once_is_copied_and_not_shown_again_by_reloading(
    gateway: Gateway, browser: Browser
) -> None:
    _sign_in(browser, gateway)
    browser.open(f"{gateway.endpoint}{ROOT}/new-key?team=sales&project=call-notes")
    browser.field("Environment").send_keys("prod")
    browser.press("Create the key")
    browser.wait_text("This is the only time that the key is shown.")
    api_key = browser.find("#api-key").get_attribute("value")
    browser.press("Copy")
    wait_for(lambda: browser.find("#copied").text, "a word about the copy")
    selected = (
        "const e = document.getElementById('api-key'); return [e.selectionStart, e.selectionEnd]"
    )
    assert browser.script(selected) == [0, len(api_key or "")]
    browser.driver.refresh()
    browser.wait_text("Limits now")
    assert api_key and api_key not in browser.driver.page_source
    keys = gateway.http.get(
        "/manage/proxy_key",
        params={"team": "sales"},
        headers={"authorization": f"Bearer {ADMIN}"},
    ).json()["data"]
    assert len(keys) == 2


def test_a_refused_form_says_why_takes_the_focus_there_and_keeps_what_was_typed(
    gateway: Gateway, browser: Browser
) -> None:
    _sign_in(browser, gateway, LEAD)
    browser.open(f"{gateway.endpoint}{ROOT}/new-key?team=marketing&project=website-ai-assistant")
    browser.field("Environment").send_keys("prod")
    browser.fill("USD a month", "5,000")
    browser.press("Create the key")
    browser.wait_text("Nothing was changed.")
    assert "team 'marketing'" in browser.text
    assert browser.field("USD a month").get_attribute("value") == "5,000"
    assert browser.script("return document.activeElement.id") == "failure"


def test_a_lead_finds_her_team_and_no_other(gateway: Gateway, browser: Browser) -> None:
    _sign_in(browser, gateway, LEAD)
    menu = browser.find(".menu").text.split("\n")
    assert menu == ["Overview", "Teams", "Keys", "Models", "Usage"]
    browser.press("Teams")
    rows = [each.text for each in browser.driver.find_elements("css selector", "tbody th a")]
    assert rows == ["marketing"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_makes_the_browser_complain_and_none_is_wider_than_a_phone(
    gateway: Gateway, browser: Browser, scheme: Scheme
) -> None:
    _sign_in(browser, gateway)
    for path in PAGES:
        for width in (1280, 390):
            browser.show_as(scheme, width)
            browser.open(f"{gateway.endpoint}{ROOT}{path}")
            assert browser.script(_OVERFLOW) <= 0, (path, width)
            assert browser.script(_HIDDEN) == [], (path, width)
    assert browser.errors() == []


def test_everything_on_every_page_is_reached_by_keyboard_and_shows_where_one_is(
    gateway: Gateway, browser: Browser
) -> None:
    _sign_in(browser, gateway)
    for path in PAGES:
        browser.open(f"{gateway.endpoint}{ROOT}{path}")
        walked = browser.script(_WALK)
        assert walked[0]["what"].startswith('<a class="skip"'), path
        assert len(walked) > 8, path
        lost = [each for each in walked if not (each["focused"] and each["outline"])]
        assert not lost, (path, lost)
        assert {each["tabindex"] for each in walked} == {0}, path


def test_numbers_of_now_move_without_reloading(gateway: Gateway, browser: Browser) -> None:
    _sign_in(browser, gateway)
    browser.open(f"{gateway.endpoint}{ROOT}/keys/engineering-assistant-prod-1")
    browser.script("window.stayed = true; document.activeElement.blur()")
    before = {part: browser.find(part).text for part in ("#live-spent", "#live-limits")}
    assert "$0.00" in before["#live-spent"]
    key = DEMO_KEYS["engineering-assistant-prod-1"]
    assert chat(gateway, key).status_code == 200
    for part, words in before.items():
        wait_for(lambda: browser.find(part).text != words, f"newer numbers in {part}", 20)  # noqa: B023
    assert browser.script("return window.stayed") is True
