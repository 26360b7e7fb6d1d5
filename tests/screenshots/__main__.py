"""python -m tests.screenshots [FOLDER]

Runs a gateway on the example policy, with a month of use in its ledger, works in its console as an
admin would, and takes a picture of every page, light and dark, some as a phone shows them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from tests.support.browser import Browser, Scheme, browsing
from tests.support.gateway import Gateway, running
from tests.support.managed import ADMIN, chat, example_tree
from tests.support.month import write_month
from tollhouse.demo import DEMO_KEYS
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.policy.compiler import load_snapshot

MOST_BYTES = 150_000
_ROOT = Path(__file__).resolve().parents[2]
_WIDTH, _HEIGHT = 1280, 900
_PHONE = (390, 844)
_COLOURS = 128
PAGES = {
    "overview": "",
    "teams": "/teams",
    "team": "/teams/research",
    "project": "/teams/support/projects/ticket-triage",
    "keys": "/keys",
    "key": "/keys/marketing-website-prod-1",
    "new-key": "/new-key?team=marketing&project=website-ai-assistant",
    "models": "/models",
    "model": "/models/claude_standard",
    "usage": "/usage?group_by=model",
    "policy": "/policy",
    "audit": "/audit",
    "tokens": "/tokens",
}
ON_A_PHONE = ("overview", "key")


def main(folder: Path) -> None:
    """Takes all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        tree = example_tree(Path(made) / "policies")
        with running(tree, Path(made) / "run") as gateway, browsing() as browser:
            _live(gateway, tree)
            _work(gateway, browser)
            _take_all(gateway, browser, folder)


def _live(gateway: Gateway, tree: Path) -> None:
    redis = EmbeddedRedis(gateway.run_dir / "redis")
    snapshot = load_snapshot(tree, allow_demo_keys=True)
    calls = asyncio.run(write_month(redis.url, snapshot, datetime.now(UTC)))
    print(f"a month of {calls:,} calls", flush=True)
    for model in ("gpt4_limited", "gpt4_limited", "claude_fast", "reasoning"):
        chat(gateway, DEMO_KEYS["marketing-website-prod-1"], model)


def _work(gateway: Gateway, browser: Browser) -> None:
    """What an admin did today."""
    browser.open(f"{gateway.endpoint}/manage/ui/sign-in")
    browser.fill("Management token", ADMIN)
    browser.press("Sign in")
    browser.wait_text("This month")
    _block(gateway, browser)
    browser.open(f"{gateway.endpoint}/manage/ui/new-key?team=sales&project=call-notes")
    browser.field("Environment").send_keys("prod")
    browser.fill("Owner", "sales-tools")
    browser.field("Ends").send_keys("In 7 days")
    browser.press("Create the key")
    browser.wait_text("only time that the key is shown")
    browser.open(f"{gateway.endpoint}/manage/ui/keys/marketing-website-prod-1")
    browser.press("Limits, models, end, owner")
    browser.fill("Owner", "marketing-team")
    browser.fill("USD a month", "120")
    browser.press("Save")
    browser.wait_text("The key is changed")
    browser.open(f"{gateway.endpoint}/manage/ui/tokens")
    browser.fill("Id", "finance")
    browser.press("Make the token")
    browser.wait_text("only time that the token is shown")


def _block(gateway: Gateway, browser: Browser) -> None:
    browser.open(f"{gateway.endpoint}/manage/ui/keys/research-notebooks-staging-1")
    browser.press("Block: refuse every call at once")
    browser.fill("Reason", "seen in a public notebook")
    browser.press("Block this key")
    browser.wait_text("The key is blocked")


def _take_all(gateway: Gateway, browser: Browser, folder: Path) -> None:
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        for name, path in PAGES.items():
            browser.show_as(scheme, _WIDTH, _HEIGHT)
            browser.open(f"{gateway.endpoint}/manage/ui{path}")
            _take(browser, folder / f"{name}-{scheme}.png")
    for name in ON_A_PHONE:
        browser.show_as("light", *_PHONE)
        browser.open(f"{gateway.endpoint}/manage/ui{PAGES[name]}")
        _take(browser, folder / f"{name}-phone.png")
    browser.driver.delete_all_cookies()
    for scheme in schemes:
        browser.show_as(scheme, _WIDTH, _HEIGHT)
        browser.open(f"{gateway.endpoint}/manage/ui/sign-in")
        _take(browser, folder / f"sign-in-{scheme}.png")


def _take(browser: Browser, path: Path) -> None:
    """In as many colours as such pages have: a third of the bytes."""
    browser.picture(path)
    with Image.open(path) as taken:
        few = taken.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name} {size:,} bytes", flush=True)
    if size > MOST_BYTES:
        raise SystemExit(f"{path} is larger than {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(Path(given[0]) if given else _ROOT / "docs" / "console")
