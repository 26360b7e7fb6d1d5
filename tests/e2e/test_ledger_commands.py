"""`tollhouse ledger …` as an operator uses it, on what real traffic left behind."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running
from tests.support.redis import RedisProcess, redis_process
from tollhouse.local.embedded_redis import EmbeddedRedis

__all__ = ["redis_process"]

OK_CALLS = 7


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return e2e_policy.write(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, policies: Path) -> Iterator[Gateway]:
    """After some traffic: whole answers, streams, one that was left, an error, refusals."""
    with running(policies, tmp_path_factory.mktemp("run") / "run") as gateway:
        for _ in range(3):
            gateway.chat("app")
        gateway.chat("app", stream=True)
        gateway.chat("app", {"x-simulate": "no_usage"}, stream=True)
        gateway.chat("app", {"x-simulate": "cached_tokens=4"})
        gateway.chat("app", model="chat-limited")
        gateway.chat("app", {"x-simulate": "status=500"})
        gateway.chat("app", model="secret-model")
        gateway.chat("broke")
        gateway.wait_settled(OK_CALLS + 1)
        yield gateway


def ledger(*words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tollhouse", "ledger", *words]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == status, shown.stderr
    return shown


def on(gateway: Gateway, policies: Path) -> tuple[str, ...]:
    url = EmbeddedRedis(gateway.run_dir / "redis").url
    return ("--policies", str(policies), "--redis-url", url)


def shown_team(redis_url: str, policies: Path) -> dict[str, dict[str, Any]]:
    where = ("--policies", str(policies), "--redis-url", redis_url)
    states = json.loads(ledger("show", "web", "--json", *where).stdout)
    return {state["scope"]: state for state in states}


def test_what_was_settled_from_the_stream_is_settled_and_reconciling_changes_nothing(
    gateway: Gateway, policies: Path
) -> None:
    before = ledger("show", "web", *on(gateway, policies)).stdout
    log = ("--log", gateway.up["access_log"], "--no-checkpoint", "--json")
    figures = json.loads(ledger("reconcile", *log, *on(gateway, policies)).stdout)
    assert (figures["duplicate"], figures["charged_usd"]) == (OK_CALLS + 1, "0")
    assert figures["settled"] == figures["unknown"] == figures["malformed"] == 0
    after = ledger("show", "web", *on(gateway, policies)).stdout
    assert after.splitlines()[-1] == before.splitlines()[-1]


def test_the_access_log_alone_gives_another_ledger_the_same_spend_to_the_nano_dollar(
    gateway: Gateway, policies: Path, redis_process: RedisProcess, tmp_path: Path
) -> None:
    rotated = tmp_path / "access.json.1.gz"
    rotated.write_bytes(gzip.compress(Path(gateway.up["access_log"]).read_bytes()))
    where = ("--policies", str(policies), "--redis-url", redis_process.url)
    told = ledger("reconcile", "--log", str(tmp_path / "*.gz"), "--no-checkpoint", *where).stdout
    assert f"{OK_CALLS + 1} requests charged now: the ledger knew nothing of them" in told

    streamed = shown_team(EmbeddedRedis(gateway.run_dir / "redis").url, policies)
    replayed = shown_team(redis_process.url, policies)

    assert streamed["team"]["monthly_spend"] > 0
    for scope, state in streamed.items():
        for counter in ("monthly_spend", "weekly_spend", "daily_spend", "tokens_today"):
            assert replayed[scope][counter] == state[counter], (scope, counter)


def test_a_rebuild_of_a_ledger_that_lost_nothing_adds_nothing(
    gateway: Gateway, policies: Path
) -> None:
    before = ledger("show", "web", *on(gateway, policies)).stdout
    words = ("--month", f"{datetime.now(UTC):%Y-%m}", "--log", gateway.up["access_log"])
    told = ledger("rebuild", *words, *on(gateway, policies)).stdout
    assert f"{OK_CALLS + 1} requests were settled before" in told
    assert "$0.00 newly charged" in told
    assert "restored" not in told
    after = ledger("show", "web", *on(gateway, policies)).stdout
    assert after.splitlines()[-1] == before.splitlines()[-1]


def test_a_log_that_a_crash_cut_is_named_with_what_to_do(
    gateway: Gateway, policies: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "access.json.1.gz"
    cut.write_bytes(gzip.compress(Path(gateway.up["access_log"]).read_bytes())[:-9])
    words = ("--log", str(cut), *on(gateway, policies))
    named = f"{cut} is a damaged gzip file: what comes before is read"
    reconciled = ledger("reconcile", "--no-checkpoint", *words, status=1)
    assert reconciled.stderr == f"{named}\n"
    assert "requests were settled before" in reconciled.stdout
    rebuilt = ledger("rebuild", "--month", f"{datetime.now(UTC):%Y-%m}", *words, status=1)
    assert named in rebuilt.stderr
    assert "no sum was added" in rebuilt.stderr


def test_the_counters_of_a_team_are_explained_in_words(gateway: Gateway, policies: Path) -> None:
    shown = ledger("show", "web", *on(gateway, policies)).stdout.splitlines()
    at = shown.index("key few-requests")
    assert shown[at + 1].startswith("  last minute: 0 of 2 requests, 0 tokens")
    assert "key poor" in shown
    assert "model chat-limited" in shown
    assert shown[shown.index("key app") + 3] == "  running: 0 calls"


def test_usage_by_day_key_and_model_is_printed_with_refusals_and_errors(
    gateway: Gateway, policies: Path
) -> None:
    def rows() -> dict[tuple[str, str], dict[str, str]]:
        shown = ledger("usage", "web", *on(gateway, policies)).stdout
        return {(row["key"], row["alias"]): row for row in csv.DictReader(io.StringIO(shown))}

    found = rows()
    while ("app", "secret-model") not in found:  # refusals are written once a second
        found = rows()
    chat = found["app", "chat"]
    assert (chat["requests"], chat["errors"]) == ("7", "1")
    assert int(chat["cached_input_tokens"]) == 4
    assert found["app", "chat-limited"]["requests"] == "1"
    refused = json.loads(found["app", "secret-model"]["refusals"])
    assert refused == {"model_not_allowed": 1}
    assert json.loads(found["broke", "chat"]["refusals"]) == {"budget_exceeded": 1}


def test_the_usage_of_a_team_that_is_gone_can_be_read(gateway: Gateway, tmp_path: Path) -> None:
    heirs = {"teams__web": e2e_policy.TEAM.replace("team: web", "team: heirs")}
    policies = e2e_policy.write(tmp_path / "policies", **heirs)
    shown = ledger("usage", "web", *on(gateway, policies)).stdout
    assert {row["team"] for row in csv.DictReader(io.StringIO(shown))} == {"web"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "wep"), "error: no team is called 'wep': did you mean 'web'?"),
        (("usage", "wep"), "error: no team is called 'wep': did you mean 'web'?"),
        (("usage", "web", "--from", "soon"), "error: soon is not a day such as 2026-11-24"),
        (("reconcile", "--log", "gone.json"), "error: gone.json is not a file that can be read"),
        (("reconcile", "--log", "gone*"), "error: no file matches gone*"),
    ],
)
def test_a_mistake_is_answered_with_what_is_wrong(
    gateway: Gateway, policies: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in ledger(*words, *on(gateway, policies), status=1).stderr


def test_a_redis_that_is_away_is_an_error_that_says_what_to_do(policies: Path) -> None:
    where = ("--policies", str(policies), "--redis-url", "redis://me:secret@127.0.0.1:1/0")
    shown = ledger("show", "web", *where, status=1)
    assert shown.stderr == (
        "error: the store is unavailable (ConnectionError) at redis://127.0.0.1:1/0"
        " (--redis-url): run it again when Redis is back.\n"
    )


def test_an_address_that_is_none_is_an_error(policies: Path) -> None:
    where = ("--policies", str(policies), "--redis-url", "ftp://localhost")
    assert ledger("show", "web", *where, status=1).stderr.startswith("error: Redis URL must")
