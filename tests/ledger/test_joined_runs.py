"""Calls that wait together share a run of the script: less work, and nobody else's trouble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from ratelimit_service.ledger import joining
from ratelimit_service.ledger.errors import LedgerError
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.scripts import ScriptCall, load_script
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import Admitted, Claim, SettleOutcome
from tests.ledger.builders import PATIENT, FakeClock, claim, limit, settlement
from tests.ledger.contents import Contents, contents

AT_ONCE = 32


async def commands(store: Redis) -> int:
    """How many were done since this was asked last."""
    stats = await store.info("commandstats")
    await store.config_resetstat()
    return sum(each["calls"] for each in stats.values())


def one_ledger(url: str, clock: FakeClock) -> Ledger:
    return Ledger(open_redis(url, timeout_seconds=PATIENT), timeout_seconds=PATIENT, clock=clock)


async def test_of_calls_at_once_each_costs_redis_a_tenth_of_the_commands_of_one_alone(
    single_url: str, clock: FakeClock
) -> None:
    ledger = one_ledger(single_url, clock)
    async with open_redis(single_url, timeout_seconds=PATIENT) as store:
        costs = []
        for at_once in (1, AT_ONCE):
            await commands(store)
            asked = [claim(tokens=5, cost=9, id_ms=clock.millis) for _ in range(at_once)]
            answers = await asyncio.gather(*(ledger.admit(each) for each in asked))
            assert all(isinstance(each, Admitted) for each in answers)
            await ledger.settle_many([settlement(each, tokens=2, cost=3) for each in asked])
            costs.append(await commands(store) / at_once)
    await ledger.close()

    alone, together = costs
    assert together < alone / 10


async def left_by(url: str, clock: FakeClock, asked: Sequence[Claim], *, joined: bool) -> Contents:
    """What is stored when the claims were admitted and settled, at once or one after the other."""
    ledger = one_ledger(url, clock)
    async with open_redis(url, timeout_seconds=PATIENT) as store:
        await store.flushall()
        ended = [settlement(each, tokens=2, cost=3) for each in asked[::2]]
        if joined:
            await asyncio.gather(*(ledger.admit(each) for each in asked))
            assert set(await ledger.settle_many(ended)) == {SettleOutcome.SETTLED}
        else:
            for each in asked:
                await ledger.admit(each)
            for one in ended:
                await ledger.settle(one)
        await ledger.close()
        return await contents(store)


async def test_what_is_stored_is_the_same_as_if_each_had_come_alone(
    redis_url: str, clock: FakeClock
) -> None:
    limits = {"team": limit(requests=100), "key": limit(tokens=1_000), "alias": limit(spend=9_000)}
    asked = [
        claim(limits, counted=("team", "org"), tokens=at, cost=at * 7, request_id=f"r-{at}")
        for at in range(1, AT_ONCE)
    ]

    alone = await left_by(redis_url, clock, asked, joined=False)

    assert await left_by(redis_url, clock, asked, joined=True) == alone


async def test_a_slot_that_is_spoiled_is_no_trouble_to_calls_that_share_its_run(
    ledger: Ledger, store: Redis
) -> None:
    await store.set("th:{alias:openai/gpt4_limited@v1}:held", "not a hash")
    spoiled = [claim() for _ in range(3)]
    well = [claim(levels=("key", "project", "team", "org")) for _ in range(3)]

    answers = await asyncio.gather(
        *(ledger.admit(each) for each in [*spoiled, *well]), return_exceptions=True
    )

    assert [type(each) for each in answers] == [LedgerError] * 3 + [Admitted] * 3


async def test_on_one_server_a_refusal_takes_nothing_at_any_moment(
    single_url: str, clock: FakeClock
) -> None:
    """Wide claims would be refused by what narrow ones take until it is given back."""
    ledger = one_ledger(single_url, clock)
    async with open_redis(single_url, timeout_seconds=PATIENT) as store:
        await store.flushall()
    narrow = {"team": limit(requests=1), "alias": limit(requests=0)}
    wide = claim(narrow, levels=("team",))

    answers = await asyncio.gather(
        *(ledger.admit(each) for each in [*(claim(narrow) for _ in range(5)), wide])
    )
    await ledger.close()

    assert [type(each).__name__ for each in answers] == ["Refused"] * 5 + ["Admitted"]


def calls(*names: str) -> list[ScriptCall]:
    """Items in slots by name; "!" is a call that stands alone."""
    admit, alone = load_script("admit"), load_script("withdraw")
    return [
        ScriptCall(alone, ("k",), ()) if name == "!" else ScriptCall(admit, (name,), ("now",), name)
        for name in names
    ]


def runs(*names: str, apart: bool) -> list[tuple[tuple[str, ...], list[int]]]:
    found = joining.joined(calls(*names), apart=apart)
    return [(run.call.keys, run.places) for run in found]


def test_calls_of_every_slot_share_a_run_on_one_server_and_of_one_slot_on_a_cluster() -> None:
    assert runs("a", "b", "a", apart=False) == [(("a", "b"), [0, 1, 2])]
    assert runs("a", "b", "a", apart=True) == [(("a",), [0, 2]), (("b",), [1])]


def test_no_call_is_done_before_one_of_another_script_that_came_earlier() -> None:
    assert runs("a", "!", "a", apart=False) == [(("a",), [0]), (("k",), [1]), (("a",), [2])]
