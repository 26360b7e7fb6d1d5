"""A hard budget under a crowd: what it pays for is admitted, to the call; the spend is the bill.

A small chat call reserves 73 bytes of body + 100 tokens of output, and takes 10 + 12 tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Slot
from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.money import Price, Usage

CROWD = 1_000
PAID_FOR = 137
PRICE = Price(input=2_500_000_000, output=10_000_000_000, cached_input=1_250_000_000)
WORST = PRICE.cost(Usage(73, 100))
TAKEN = PRICE.cost(Usage(10, 12))
# The last call needs room for its worst case; all before it have settled for what they took.
BUDGET = (PAID_FOR - 1) * TAKEN + WORST

# A thousand callers on a busy machine can keep the ledger waiting for longer than its deadline.
RETRYABLE = {"budget_reserved", "ledger_unavailable"}

SCOPES = ("key:{}", "project:site", "team")


def team(name: str) -> str:
    budget = f"{{monthly_spend_usd: 0.{BUDGET:09}}}"
    key = e2e_policy.key(name)
    return (
        f"team: {name}\nlimits: {budget}\nprojects:\n  site:\n    allowed_models: [chat]\n"
        f"    keys:\n{key}"
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("hard")
    models = (
        "models:\n  chat:\n    provider: openai\n    model: gpt-4o-mini\n"
        f"    max_output_tokens: 100\n    price: {e2e_policy.PRICE}\n"
    )
    # A thousand clients in one process take their time between a request's head and its body.
    providers = e2e_policy.PROVIDERS.replace("idle_timeout_seconds: 2", "idle_timeout_seconds: 60")
    files = {
        "providers": providers,
        "models": models,
        "teams__patient": team("patient"),
        "teams__hasty": team("hasty"),
    }
    policies = e2e_policy.write(root / "policies", **files)
    (policies / "teams" / "web.yaml").unlink()
    with running(policies, root / "run") as gateway:
        yield gateway


def ledger_of(gateway: Gateway) -> Ledger:
    url = EmbeddedRedis(gateway.run_dir / "redis").url
    return Ledger(open_redis(url, timeout_seconds=20), timeout_seconds=20)


async def spends(ledger: Ledger, name: str) -> set[tuple[int, int]]:
    """Nano-dollars (settled, held) of the team and all in it; they are the same in each."""
    month = periods_at("UTC", int(time.time())).month
    scopes = [scope.format(name) for scope in SCOPES]
    return {await ledger.spend(Slot("team", name), scope, month) for scope in scopes}


async def call(client: httpx.AsyncClient, name: str, *, patient: bool) -> str:
    """One call; a patient caller asks again where the refusal says that it may."""
    while True:
        answer = await client.post(
            "/v1/chat/completions",
            json={"model": "chat", "messages": [{"role": "user", "content": "Say hello"}]},
            headers={"authorization": f"Bearer {test_key(name)}"},
        )
        code = answer.headers["x-tollhouse-decision"]
        if code not in RETRYABLE or not patient:
            return str(code)
        await asyncio.sleep(0.2)  # a fifth of what the refusal advises


async def crowd(gateway: Gateway, name: str, *, patient: bool) -> tuple[Counter[str], int]:
    """What a thousand callers at once were answered, and the most that was ever spent and held."""
    limits = httpx.Limits(max_connections=CROWD)
    ledger = ledger_of(gateway)
    async with httpx.AsyncClient(
        base_url=gateway.endpoint, limits=limits, timeout=60, trust_env=False
    ) as client:
        calls = asyncio.gather(*(call(client, name, patient=patient) for _ in range(CROWD)))
        most = 0
        while not calls.done():
            most = max([most, *(settled + held for settled, held in await spends(ledger, name))])
            await asyncio.sleep(0)
        answers = Counter(await calls)
    await ledger.close()
    return answers, most


async def settled_spend(gateway: Gateway, name: str, calls: int) -> int:
    """What team, project and key have spent, once nothing is held; they must agree."""
    await asyncio.to_thread(gateway.wait_settled, calls)
    ledger = ledger_of(gateway)
    ((settled, held),) = await spends(ledger, name)
    await ledger.close()
    assert held == 0
    return settled


def billed(gateway: Gateway) -> int:
    """The simulator's own bill at the alias's price, in nano-dollars."""
    line = gateway.bill()["by_model"]["gpt-4o-mini"]
    return PRICE.cost(Usage(line["prompt_tokens"], line["completion_tokens"]))


async def test_of_1000_calls_at_once_exactly_the_137_that_the_budget_pays_for_succeed(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.forget()
    answers, most = await crowd(gateway, "patient", patient=True)

    spent = await settled_spend(gateway, "patient", answers["allowed"])

    assert answers == {"allowed": PAID_FOR, "budget_exceeded": CROWD - PAID_FOR}
    assert spent == billed(gateway) == PAID_FOR * TAKEN
    assert most <= BUDGET
    with capsys.disabled():
        print(
            f"\n{CROWD} concurrent calls, a budget of {BUDGET} nano-dollars: {dict(answers)}; "
            f"ledger {spent}, bill {billed(gateway)}; most settled + held ever seen {most}"
        )


async def test_a_crowd_that_does_not_try_again_never_gets_beyond_the_budget(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.forget()
    before = gateway.metric("ratelimit_service", "tollhouse_settlements_total")
    answers, most = await crowd(gateway, "hasty", patient=False)

    spent = await settled_spend(gateway, "hasty", int(before) + answers["allowed"])

    assert 0 < answers["allowed"] <= PAID_FOR
    assert set(answers) <= {"allowed", "budget_exceeded", *RETRYABLE}
    assert spent == billed(gateway) == answers["allowed"] * TAKEN
    assert most <= BUDGET
    with capsys.disabled():
        print(f"\nwithout retries: {dict(answers)}; ledger {spent}; most ever seen {most}")
