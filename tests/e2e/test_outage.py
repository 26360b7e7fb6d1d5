"""Redis, or ratelimit_service, is away: what callers see, what is counted, what is owed at the end.

Each test has a gateway of its own, and hurts it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx
import openai
import pytest
import redis

from ratelimit_service.ledger.periods import periods_at
from tests.support import e2e_policy
from tests.support.gateway import test_key, wait_for
from tests.support.stack import Stack, running
from tollhouse.money import Price, Usage

PRICE = Price(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000)
CHAT = "/v1/chat/completions"

Start = Callable[[str], AbstractContextManager["Scene"]]


class Scene:
    """A gateway, and its callers."""

    def __init__(self, stack: Stack, policies: Path) -> None:
        self.stack = stack
        self.policies = policies

    def chat(self, key: str = "app", **simulate: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {test_key(key)}"}
        if simulate:
            headers["x-simulate"] = ",".join(f"{name}={value}" for name, value in simulate.items())
        body = {"model": "chat", "messages": [{"role": "user", "content": "Say hello"}]}
        url = self.stack.endpoint + CHAT
        return httpx.post(url, json=body, headers=headers, timeout=10, trust_env=False)

    def code(self, key: str = "app") -> str:
        answer = self.chat(key)
        return "allowed" if answer.is_success else str(answer.json()["error"]["code"])

    def until_code(self, wanted: str) -> None:
        wait_for(lambda: self.code() == wanted, f"an answer with {wanted}", 20)

    def billed(self) -> int:
        """Nano-dollars of everything that the provider answered."""
        exchanges = self.stack.simulator("exchanges")
        return sum(
            PRICE.cost(Usage(each["prompt_tokens"], each["completion_tokens"], 0))
            for each in exchanges
        )

    def spent(self) -> tuple[int, int]:
        """Nano-dollars that the team has settled this month, and holds."""
        month = periods_at("UTC", int(time.time())).month
        with redis.Redis.from_url(self.stack.redis.url, decode_responses=True) as store:
            settled = store.hget(f"th:{{team:web}}:month:{month}", "team")
            held = store.hget("th:{team:web}:held", "team|nano")
        return int(settled or 0), int(held or 0)  # type: ignore[arg-type]  # not awaitable here

    def until_paid(self) -> int:
        """Until the ledger has what the provider billed, and holds nothing."""
        billed = self.billed()
        wait_for(lambda: self.spent() == (billed, 0), f"a ledger of {billed}", 20)
        return billed

    def ledger_command(self, *words: str) -> None:
        where = ("--policies", str(self.policies), "--redis-url", self.stack.redis.url)
        command = [sys.executable, "-m", "tollhouse", "ledger", *words, *where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def start(tmp_path: Path) -> Start:
    @contextmanager
    def on(on_store_outage: str) -> Iterator[Scene]:
        org = e2e_policy.ORG + f"on_store_outage: {on_store_outage}\n"
        five = e2e_policy.key("five", "  limits: {requests_per_minute: 5}")
        team = e2e_policy.TEAM + five
        policies = e2e_policy.write(tmp_path / "policies", org=org, teams__web=team)
        with running(tmp_path / "run", policies) as stack:
            yield Scene(stack, policies)

    return on


def test_under_deny_calls_are_refused_while_redis_is_away_and_nothing_is_owed_after(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    with start("deny") as at:
        assert [at.code() for _ in range(3)] == ["allowed"] * 3
        at.stack.kill("redis")
        seen = Counter(at.code() for _ in range(20))
        assert seen == {"ledger_unavailable": 20}
        wait_for(lambda: "redis" in at.stack.problems("ratelimit_service"), "not ready")
        at.stack.start("redis")
        at.until_code("allowed")
        wait_for(lambda: at.stack.problems("ratelimit_service") == {}, "readiness")
        billed = at.until_paid()
    with capsys.disabled():
        print(f"\nRedis killed under deny: {dict(seen)}; ledger = bill = {billed} nano-dollars")


def test_under_allow_limits_hold_and_what_was_admitted_is_settled_later(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    with start("allow") as at:
        assert [at.code("five") for _ in range(2)] == ["allowed"] * 2
        at.stack.kill("redis")

        answers = [at.chat("five") for _ in range(5)]

        codes = [answer.status_code for answer in answers]
        assert codes == [200, 200, 200, 429, 429]
        assert {answer.headers["x-tollhouse-degraded"] for answer in answers} == {"ledger"}
        assert [at.code() for _ in range(20)] == ["allowed"] * 20
        assert at.stack.problems("ratelimit_service") == {}
        assert at.stack.metric("ratelimit_service", "tollhouse_ledger_degraded ") == 1
        at.stack.start("redis")
        wait_for(lambda: "x-tollhouse-degraded" not in at.chat().headers, "the end of the outage")
        billed = at.until_paid()
    with capsys.disabled():
        print(f"\nRedis killed under allow: {codes}; ledger = bill = {billed} nano-dollars")


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_entries_that_wait_for_redis_outlive_ratelimit_service(
    start: Start, capsys: pytest.CaptureFixture[str], end: str
) -> None:
    with start("allow") as at:
        at.stack.kill("redis")
        assert [at.code() for _ in range(25)] == ["allowed"] * 25
        waiting = "tollhouse_settlements_waiting "
        wait_for(lambda: at.stack.metric("ratelimit_service", waiting) == 25, "25 entries")

        getattr(at.stack, end)("ratelimit_service")
        at.stack.start("ratelimit_service")

        assert at.stack.metric("ratelimit_service", waiting) == 25
        at.until_code("allowed")  # it starts without Redis, too
        at.stack.start("redis")
        billed = at.until_paid()
        assert len(at.stack.simulator("exchanges")) >= 26
    with capsys.disabled():
        print(f"\nratelimit_service after {end}: 25 waited; ledger = bill = {billed}")


def test_a_stream_goes_on_when_redis_is_killed_under_it(start: Start) -> None:
    with start("deny") as at:
        client = openai.OpenAI(
            api_key=test_key("app"), base_url=f"{at.stack.endpoint}/v1", max_retries=0
        )
        chunks = client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "Say hello"}],
            stream=True,
            extra_headers={"x-simulate": "token_delay_ms=100"},
        )
        text = next(iter(chunks)).choices[0].delta.content or ""
        at.stack.kill("redis")
        text += "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert text.split()[-1] == "tok12"
        at.stack.start("redis")
        at.until_paid()


def test_a_ledger_that_came_back_empty_admits_nobody_until_it_is_rebuilt_and_accepted(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with start("deny") as at:
        assert [at.code() for _ in range(5)] == ["allowed"] * 5
        billed = at.until_paid()
        # Known by now, and written down: the service looks once a second.
        known = tmp_path / "run" / "ratelimit" / "known-slots.json"
        wait_for(lambda: known.exists() and "team:web" in known.read_text(), "the slot to be known")
        at.stack.kill("redis")
        shutil.rmtree(tmp_path / "run" / "redis")
        (tmp_path / "run" / "redis").mkdir()
        at.stack.terminate("ratelimit_service")
        at.stack.start("redis")
        at.stack.start("ratelimit_service")

        wait_for(lambda: "ledger" in at.stack.problems("ratelimit_service"), "the loss to be told")
        assert [at.code() for _ in range(5)] == ["ledger_unavailable"] * 5
        assert at.spent()[0] == 0
        month = periods_at("UTC", int(time.time())).month
        log = ("--log", str(at.stack.access_log))
        at.ledger_command("rebuild", "--month", month, *log)
        assert at.code() == "ledger_unavailable"
        at.ledger_command("accept", "--yes")

        at.until_code("allowed")
        assert at.until_paid() > billed
        assert at.stack.problems("ratelimit_service") == {}
    with capsys.disabled():
        print(f"\nan empty Redis: refused until rebuilt to {billed} nano-dollars, and accepted")
