"""A store that is away, slow or unable to write: an error within the deadline, never a hang."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
import redis.exceptions

from ratelimit_service.ledger.errors import LedgerClockError, LedgerError, LedgerUnavailable
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis, translated
from ratelimit_service.ledger.types import Admitted, SettleOutcome
from tests.ledger.builders import TEAM, claim, settlement
from tests.support.redis import RedisProcess

DEADLINE = 0.25
SLACK = 1.0  # for a busy machine


@pytest.fixture
async def ledger(redis_process: RedisProcess) -> AsyncIterator[Ledger]:
    """A ledger with the production deadline, on a store that the test may hurt."""
    ledger = Ledger(open_redis(redis_process.url), timeout_seconds=DEADLINE)
    yield ledger
    await ledger.close()


async def fails_in_time(ledger: Ledger) -> None:
    asked = claim(cost=5)
    for call in (
        ledger.admit(asked),
        ledger.withdraw(asked),
        ledger.settle(settlement(asked)),
        ledger.sweep([TEAM]),
        ledger.spend(TEAM, "team", "2026-11"),
        ledger.ping(),
    ):
        started = time.monotonic()
        with pytest.raises(LedgerUnavailable):
            await call
        assert time.monotonic() - started < DEADLINE + SLACK


async def answers(ledger: Ledger) -> None:
    """Poll until the ledger answers: the client learns of a lost connection by using it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            return await ledger.ping()
        except LedgerUnavailable:
            await asyncio.sleep(0.01)
    raise AssertionError("the ledger did not come back")


async def test_a_store_that_hangs_is_unavailable_within_the_deadline(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    await ledger.ping()
    redis_process.send(signal.SIGSTOP)

    await fails_in_time(ledger)

    redis_process.send(signal.SIGCONT)
    await answers(ledger)
    assert isinstance(await ledger.admit(claim()), Admitted)


async def test_many_calls_to_a_store_that_hangs_all_fail_within_one_deadline(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    await ledger.ping()
    redis_process.send(signal.SIGSTOP)

    started = time.monotonic()
    calls = (ledger.admit(claim(levels=["team"])) for _ in range(200))
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert time.monotonic() - started < DEADLINE + SLACK
    assert {type(result) for result in results} == {LedgerUnavailable}
    redis_process.send(signal.SIGCONT)


async def test_calls_that_were_not_sent_before_their_deadline_are_never_sent(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    await ledger.ping()
    redis_process.send(signal.SIGSTOP)
    calls = (ledger.admit(claim(levels=["team"])) for _ in range(200))
    await asyncio.gather(*calls, return_exceptions=True)
    redis_process.send(signal.SIGCONT)
    await answers(ledger)

    await ledger.withdraw(claim(levels=["org"]))  # served after all that waited before

    async with open_redis(redis_process.url) as client:
        assert await client.hlen("th:{team:marketing}:holds") <= 64  # one pipeline


async def test_a_store_that_was_killed_is_unavailable_until_it_is_back(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    asked = claim(cost=5)
    assert isinstance(await ledger.admit(asked), Admitted)
    await written(redis_process)
    redis_process.kill()

    await fails_in_time(ledger)

    redis_process.start()
    await answers(ledger)
    assert await ledger.settle(settlement(asked, cost=3)) is SettleOutcome.SETTLED


async def written(redis_process: RedisProcess) -> None:
    """Return when the append-only file has everything: what is written survives a kill."""
    async with open_redis(redis_process.url) as client:
        deadline = time.monotonic() + 10
        while (await client.info("persistence"))["aof_buffer_length"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_scripts_that_the_store_has_forgotten_are_taught_again(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    async with open_redis(redis_process.url) as client:
        asked = [claim(cost=5) for _ in range(10)]
        for each in asked:
            assert isinstance(await ledger.admit(each), Admitted)
            await client.script_flush()
        for each in asked:
            assert await ledger.settle(settlement(each, cost=3)) is SettleOutcome.SETTLED
            await client.script_flush()

    assert await ledger.spend(TEAM, "team", await this_month(ledger)) == (30, 0)


async def this_month(ledger: Ledger) -> str:
    answer = await ledger.admit(claim())
    assert isinstance(answer, Admitted)
    return answer.states[0].periods.month


@pytest.mark.parametrize(("setting", "value"), [("maxmemory", "1"), ("min-replicas-to-write", "1")])
async def test_a_store_that_cannot_write_is_unavailable_and_takes_nothing(
    ledger: Ledger, redis_process: RedisProcess, setting: str, value: str
) -> None:
    await ledger.admit(claim(levels=["team"], cost=5))
    async with open_redis(redis_process.url) as client:
        await client.config_set(setting, value)
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(claim(levels=["team"], cost=5))
        await client.config_set(setting, "0")

        assert await client.hlen("th:{team:marketing}:holds") == 1


async def test_a_store_that_became_a_replica_is_unavailable(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    async with open_redis(redis_process.url) as client:
        await client.config_set("replica-serve-stale-data", "yes")
        await client.replicaof("127.0.0.1", "1")
        with pytest.raises(LedgerUnavailable):
            await ledger.admit(claim())


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), LedgerUnavailable),
        (ConnectionRefusedError(), LedgerUnavailable),
        (redis.exceptions.ConnectionError("reset"), LedgerUnavailable),
        (redis.exceptions.BusyLoadingError("loading the dataset"), LedgerUnavailable),
        (redis.exceptions.OutOfMemoryError("command not allowed"), LedgerUnavailable),
        (redis.exceptions.ReadOnlyError("a read only replica"), LedgerUnavailable),
        (redis.exceptions.ClusterDownError("The cluster is down"), LedgerUnavailable),
        (redis.exceptions.ResponseError("MISCONF errors writing to the AOF"), LedgerUnavailable),
        (redis.exceptions.ResponseError("BUSY Redis is busy running a script"), LedgerUnavailable),
        (redis.exceptions.ResponseError("@user_script: 3: -OOM command"), LedgerUnavailable),
        (redis.exceptions.ResponseError("CLOCK the time is in none"), LedgerClockError),
        (redis.exceptions.ResponseError("ERR unknown command"), LedgerError),
    ],
)
def test_each_error_of_the_store_becomes_one_of_the_ledgers(
    error: Exception, expected: type[LedgerError]
) -> None:
    assert type(translated(error)) is expected


async def test_a_key_of_another_kind_in_the_way_is_an_error_but_not_an_outage(
    ledger: Ledger, redis_process: RedisProcess
) -> None:
    async with open_redis(redis_process.url) as client:
        await client.set("th:{team:marketing}:held", "not a hash")
        with pytest.raises(LedgerError) as raised:
            await ledger.admit(claim(levels=["team"]))

    assert type(raised.value) is LedgerError


async def test_a_thousand_calls_at_once_share_a_few_connections(
    redis_process: RedisProcess,
) -> None:
    ledger = Ledger(open_redis(redis_process.url), timeout_seconds=20)
    answers = await asyncio.gather(*(ledger.admit(claim(cost=5)) for _ in range(1_000)))
    assert all(isinstance(answer, Admitted) for answer in answers)

    async with open_redis(redis_process.url) as client:
        connections = (await client.info("clients"))["connected_clients"]

    assert connections <= 3  # one to admit, one to settle, and this one
    await ledger.close()


async def test_while_the_store_is_away_one_call_at_a_time_waits_and_the_others_fail_at_once(
    ledger: Ledger, redis_process: RedisProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    await ledger.admit(claim())
    redis_process.send(signal.SIGSTOP)
    took = []
    until = time.monotonic() + 1
    while time.monotonic() < until:
        started = time.monotonic()
        results = await asyncio.gather(
            *(ledger.admit(claim(levels=["team"])) for _ in range(20)), return_exceptions=True
        )
        assert {type(result) for result in results} == {LedgerUnavailable}
        took.append(time.monotonic() - started)
    redis_process.send(signal.SIGCONT)

    assert len(took) > 20  # at 0.25 s each there would be four
    await answers(ledger)
    assert isinstance(await ledger.admit(claim()), Admitted)
    with capsys.disabled():
        print(f"\nin a second without Redis {len(took)} rounds of 20 calls failed")
