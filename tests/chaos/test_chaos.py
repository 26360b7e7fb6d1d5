"""Minutes of faults under load: afterwards the ledger says what the provider billed.

`TOLLHOUSE_CHAOS_SECONDS` changes the length, `TOLLHOUSE_CHAOS_SEED` the course. What each call took
is known three times over: by the simulator's bill, by the access log, and by the ledger.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.replay.line import MalformedLine, entry_from_line
from ratelimit_service.settlement import ESTIMATED, REPORTED, Charge, Entry, charge
from tests.chaos.load import CALL_DEADLINE_SECONDS, Load, Told
from tests.support import e2e_policy, stack
from tests.support.endings import Known, charged_when_lost, endings, known
from tests.support.gateway import wait_for
from tollhouse.money import Price, Usage

SECONDS = float(os.environ.get("TOLLHOUSE_CHAOS_SECONDS", "180"))
SEED = int(os.environ.get("TOLLHOUSE_CHAOS_SEED", "20261124"))
PRICE = Price(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000)
MAX_OUTPUT = 100
LEASE_SECONDS = 10
WINDOW_SECONDS = 60

KEYS = {
    "free": "{}",
    "rpm": "{requests_per_minute: 40}",
    "tpm": "{tokens_per_minute: 3000}",
    "parallel": "{max_parallel_requests: 2}",
    "budget": "{monthly_spend_usd: 0.05}",
    "daily": "{daily_spend_usd: 0.1, requests_per_day: 300}",
}
MODELS = {"wide": "{}", "narrow": "{requests_per_minute: 200}"}
TEAM_RPM, ORG_RPM = 900, 1000

Exchange = dict[str, Any]


def tree(root: Path) -> Path:
    keys = "".join(e2e_policy.key(name, f"  limits: {limits}") for name, limits in KEYS.items())
    models = "".join(
        f"  {name}:\n    provider: openai\n    model: {name}-model\n"
        f"    max_output_tokens: {MAX_OUTPUT}\n    price: {e2e_policy.PRICE}\n"
        f"    limits: {limits}\n"
        for name, limits in MODELS.items()
    )
    team = (
        f"team: web\nlimits: {{requests_per_minute: {TEAM_RPM}}}\nprojects:\n  site:\n"
        f"    allowed_models: [{', '.join(MODELS)}]\n    keys:\n{keys}"
    )
    org = (
        f"org: acme\nlimits: {{requests_per_minute: {ORG_RPM}}}\n"
        f"reservation_lease_seconds: {LEASE_SECONDS}\n"
    )
    return e2e_policy.write(root, org=org, models=f"models:\n{models}", teams__web=team)


@dataclass
class Run:
    """What is left when the load is over and everything has been reconciled."""

    told: Told
    faults: dict[str, int]
    exchanges: list[Exchange]
    charges: dict[str, Charge]  # by user agent
    ids: set[str]  # of the reservations in the access log
    reconciled: dict[str, Any]
    store: dict[str, dict[str, str]]  # every HASH and ZSET of the ledger

    def spent(self, slot: str, scope: str) -> int:
        """Nano-dollars that a scope has settled this month."""
        month = periods_at("UTC", int(time.time())).month
        return int(self.store.get(f"th:{{{slot}}}:month:{month}", {}).get(scope, 0))

    def ended(self, slot: str) -> dict[Known, str]:
        """How each reservation of a slot ended, by what its id is known by."""
        return endings(self.store, f"th:{{{slot}}}:")

    def lost(self, slot: str) -> int:
        """Nano-dollars of reservations that were charged in full, for nothing told their end."""
        charged = charged_when_lost(self.store, f"th:{{{slot}}}:")
        return sum(nano for _, nano in charged.values())


def bill_of(exchange: Exchange) -> int:
    usage = Usage(
        exchange["prompt_tokens"], exchange["completion_tokens"], exchange["cached_tokens"]
    )
    return PRICE.cost(usage)


def kill_and_start(part: str, down_seconds: float) -> Callable[[stack.Stack], None]:
    def fault(running: stack.Stack) -> None:
        running.kill(part)
        time.sleep(down_seconds)  # how long the part is away, not a wait for anything
        running.start(part)

    return fault


def restart(part: str) -> Callable[[stack.Stack], None]:
    def fault(running: stack.Stack) -> None:
        running.terminate(part)
        running.start(part)

    return fault


def freeze(part: str, seconds: float) -> Callable[[stack.Stack], None]:
    def fault(running: stack.Stack) -> None:
        running.signal(part, signal.SIGSTOP)
        time.sleep(seconds)  # how long it hangs
        running.signal(part, signal.SIGCONT)

    return fault


FAULTS: dict[str, Callable[[stack.Stack], None]] = {
    "redis killed": kill_and_start("redis", 1.0),
    "ratelimit_service killed": kill_and_start("ratelimit_service", 0.5),
    "envoy killed": kill_and_start("envoy", 0.2),
    "redis frozen": freeze("redis", 1.0),
    "authz_service killed": kill_and_start("authz_service", 0.5),
    "ratelimit_service restarted": restart("ratelimit_service"),
    "redis restarted": restart("redis"),
    "ratelimit_service frozen": freeze("ratelimit_service", 1.5),
}


async def misfortune(running: stack.Stack, faults: dict[str, int], until: float) -> None:
    """One fault after another, each once before any comes again."""
    names = list(FAULTS)
    while time.monotonic() < until:
        for name in names:
            if time.monotonic() > until:
                break
            await asyncio.to_thread(FAULTS[name], running)
            faults[name] += 1
            await asyncio.sleep(3)  # of peace, so that there is load between the faults


def ledger_contents(url: str) -> dict[str, dict[str, str]]:
    with Redis.from_url(url, decode_responses=True) as redis:
        found: dict[str, dict[str, str]] = {}
        for name in redis.scan_iter("th:{*"):
            is_set = redis.type(name) == "zset"
            found[name] = (
                dict(redis.zrange(name, 0, -1, withscores=True)) if is_set else redis.hgetall(name)
            )
        return found


def nothing_held(url: str) -> bool:
    return not any(
        name.endswith((":held", ":holds", ":leases", ":requests")) for name in ledger_contents(url)
    )


def reconcile(running: stack.Stack, policies: Path) -> dict[str, Any]:
    command = [
        *(sys.executable, "-m", "tollhouse", "ledger", "reconcile", "--json", "--no-checkpoint"),
        *("--log", str(running.access_log), "--policies", str(policies)),
        *("--redis-url", running.redis.url),
    ]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, Any] = json.loads(shown.stdout)
    return figures


def entries_in(log: Path) -> dict[str, Entry]:
    """The calls of the access log that were admitted, by their user agent."""
    entries = {}
    for line in log.read_bytes().splitlines():
        try:
            entry, fields = entry_from_line(line), json.loads(line)
        except MalformedLine:  # Envoy was killed while it wrote it
            continue
        if entry:
            entries[fields["user_agent"]] = entry
    return entries


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The whole run, once for all the claims about it."""
    root = tmp_path_factory.mktemp("chaos")
    policies = tree(root / "policies")
    with stack.running(root / "run", policies) as running:
        load = Load(running.endpoint, tuple(KEYS), tuple(MODELS), 24, 0.25, random.Random(SEED))  # noqa: S311
        faults: dict[str, int] = defaultdict(int)

        async def course() -> None:
            calls = asyncio.create_task(load.run())
            await misfortune(running, faults, time.monotonic() + SECONDS)
            load.stop.set()
            await calls

        asyncio.run(course())
        wait_for(lambda: nothing_held(running.redis.url), "the end of all leases", 60)
        figures = reconcile(running, policies)
        entries = entries_in(running.access_log)
        yield Run(
            load.told,
            faults,
            running.simulator("exchanges"),
            {agent: charge(entry) for agent, entry in entries.items()},
            {entry.reservation_id for entry in entries.values()},
            figures,
            ledger_contents(running.redis.url),
        )


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


def test_every_call_ends_whatever_is_broken(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "hung" not in run.told.codes
    assert max(run.told.slowest.values()) < CALL_DEADLINE_SECONDS
    assert all(run.faults[name] for name in FAULTS)
    slowest = {code: round(seconds, 1) for code, seconds in run.told.slowest.items()}
    say(
        capsys,
        f"chaos of {SECONDS:.0f} s, seed {SEED}: {sum(run.told.codes.values())} calls "
        f"{dict(run.told.codes)}, slowest in seconds {slowest}; faults {dict(run.faults)}",
    )


def by_source(run: Run, source: str) -> dict[str, tuple[int, int]]:
    """Of the calls whose usage was learned so: charge and bill, in nano-dollars."""
    bills: dict[str, int] = defaultdict(int)
    for exchange in run.exchanges:
        bills[exchange["user_agent"]] += bill_of(exchange)
    return {
        agent: (charged.cost, bills[agent])
        for agent, charged in run.charges.items()
        if charged.source == source
    }


def test_what_a_provider_reported_is_charged_to_the_nano_dollar(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = by_source(run, REPORTED)
    different = {agent: pair for agent, pair in pairs.items() if pair[0] != pair[1]}
    assert different == {}
    charged, billed = (sum(column) for column in zip(*pairs.values(), strict=True))
    say(
        capsys,
        f"reported: {len(pairs)} calls, charged {charged}, billed {billed}, difference "
        f"{charged - billed}",
    )


def test_what_had_to_be_estimated_is_never_charged_too_little(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = by_source(run, ESTIMATED)
    short = {agent: pair for agent, pair in pairs.items() if pair[0] < pair[1]}
    assert short == {}
    charged, billed = (sum(column) for column in zip(*pairs.values(), strict=True))
    say(
        capsys,
        f"estimated: {len(pairs)} calls, charged {charged}, billed {billed}, difference "
        f"{charged - billed}",
    )


def test_the_ledger_is_the_access_log_and_what_was_lost_with_envoy(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    logged = sum(charged.cost for charged in run.charges.values())
    ledger, lost = run.spent("team:web", "team"), run.lost("team:web")
    # Envoy writes its file every 100 ms, and streams every 20: killed, it may have sent more.
    streamed = ledger - logged - lost
    settled = {each for each, letter in run.ended("team:web").items() if letter == "s"}
    logged_ids = set(map(known, run.ids))
    without_line = len(settled - logged_ids)
    unlogged = sum(bill_of(one) for one in run.exchanges if one["user_agent"] not in run.charges)
    say(
        capsys,
        f"ledger {ledger} = access log {logged} + lost reservations {lost} + {streamed} of "
        f"{without_line} calls that Envoy streamed and was killed before it wrote their lines; "
        f"billed for calls without a line {unlogged}; reconcile {run.reconciled}",
    )
    assert logged_ids <= settled
    assert streamed >= 0
    assert (streamed > 0) <= (without_line > 0)
    assert lost + streamed >= unlogged


def test_every_scope_was_charged_the_same(run: Run) -> None:
    team = run.spent("team:web", "team")
    assert run.spent("team:web", "project:site") == team
    assert sum(run.spent("team:web", f"key:{key}") for key in KEYS) == team
    org = run.spent("org:acme", "org")
    assert org - run.lost("org:acme") == team - run.lost("team:web")


def test_nothing_is_held_and_nothing_is_negative(run: Run) -> None:
    left = [name for name in run.store if name.endswith((":held", ":holds", ":leases"))]
    assert left == []
    counters = [
        (name, field, int(value))
        for name, fields in run.store.items()
        if name.split(":")[-2] in ("day", "week", "month")
        for field, value in fields.items()
    ]
    assert counters
    assert [each for each in counters if each[2] < 0] == []


def test_no_hard_budget_was_exceeded(run: Run) -> None:
    assert run.spent("team:web", "key:budget") <= 50_000_000
    assert run.spent("team:web", "key:daily") <= 100_000_000


def most_in_a_window(amounts: list[tuple[float, int]]) -> int:
    """The largest sum of any `WINDOW_SECONDS`, of (moment, amount)."""
    most = total = first = 0
    for at, amount in amounts:
        total += amount
        while amounts[first][0] <= at - WINDOW_SECONDS:
            total -= amounts[first][1]
            first += 1
        most = max(most, total)
    return most


def arrivals(run: Run, what: Callable[[Exchange], int], agent: str = "") -> list[tuple[float, int]]:
    return sorted(
        (exchange["received_at"], what(exchange))
        for exchange in run.exchanges
        if agent in exchange["user_agent"]
    )


def tokens(exchange: Exchange) -> int:
    return int(exchange["prompt_tokens"]) + int(exchange["completion_tokens"])


@pytest.mark.parametrize(
    ("scope", "agent", "limit"),
    [
        ("key rpm", "rpm/", 40),
        ("model narrow", "/narrow/", 200),
        ("project site and team web", "", TEAM_RPM),
        ("org acme", "", ORG_RPM),
    ],
)
def test_no_60_seconds_brought_the_provider_more_requests_than_the_limit(
    run: Run, capsys: pytest.CaptureFixture[str], scope: str, agent: str, limit: int
) -> None:
    most = most_in_a_window(arrivals(run, lambda exchange: 1, agent))
    say(capsys, f"{scope}: at most {most} requests arrived in any 60 s, the limit is {limit}")
    assert 0 < most <= limit


def test_no_60_seconds_took_more_tokens_than_the_limit(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    most = most_in_a_window(arrivals(run, tokens, "tpm/"))
    say(capsys, f"key tpm: at most {most} tokens in any 60 s, the limit is 3000")
    assert 0 < most <= 3000


def test_no_more_calls_ran_in_a_day_than_its_limit(run: Run) -> None:
    assert 0 < len(arrivals(run, lambda exchange: 1, "daily/")) <= 300
