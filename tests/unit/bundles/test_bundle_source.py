"""A replica takes what is newer and signed, keeps what it has otherwise, and never hangs."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis

from tests.support.redis import RedisProcess
from tests.unit.bundles.builders import KEY, OTHER_KEY, Site, policy, sealed
from tollhouse.bundles.publisher import Publisher
from tollhouse.bundles.source import PolicyBundles
from tollhouse.money import Price
from tollhouse.policy.compiled import Alias, Snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.watch import PolicyHolder, watch

SOON = 10.0


def org(bundles: PolicyBundles) -> str:
    return bundles.load().org.name


def refusal(bundles: PolicyBundles) -> str:
    with pytest.raises(PolicyError) as refused:
        bundles.load()
    return str(refused.value)


def looked(holder: PolicyHolder) -> PolicyHolder:
    """As `watch` does at every tick."""
    if holder.is_stale():
        holder.reload()
    return holder


def at_price(alias: Alias, price: Price) -> Alias:
    return replace(alias, deployments=(replace(alias.first, price=price),))


def messages(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= level]


# The newest bundle


def test_a_replica_starts_from_the_newest_bundle_and_keeps_it(site: Site) -> None:
    site.publish("old")
    serial = site.publish("new").header.serial
    bundles = site.replica()
    assert org(bundles) == "new"
    assert (bundles.serial, bundles.up, bundles.is_cached) == (serial, True, True)
    assert site.cache.read_bytes() == site.store.newest()[1]


def test_a_new_bundle_is_in_force_after_the_next_look(site: Site) -> None:
    site.publish("first")
    holder = PolicyHolder(site.replica())
    assert not holder.is_stale()
    site.publish("second")
    assert looked(holder).current.org.name == "second"
    assert not holder.is_stale()


def test_a_policy_of_the_same_files_and_other_prices_is_taken(site: Site) -> None:
    """Its version is the same, for the public list of prices is no file of the policy."""
    site.publish("acme")
    holder = PolicyHolder(site.replica())
    snapshot = policy(site.folder)
    dearer = at_price(snapshot.aliases["small"], Price(1, 2, 3))
    changed = replace(snapshot, aliases={"small": dearer})
    Publisher(site.store, KEY, "ops").publish(changed)
    assert looked(holder).current.aliases["small"].first.price == Price(1, 2, 3)
    assert holder.current.version == snapshot.version


def test_a_policy_that_is_published_again_as_it_was_is_no_change(site: Site) -> None:
    site.publish("acme")
    holder = PolicyHolder(site.replica())
    before = holder.finding
    site.publish("acme")
    assert looked(holder).finding is before
    assert isinstance(holder.source, PolicyBundles)
    assert holder.source.serial == site.store.serial()


def test_a_look_that_finds_nothing_new_reads_no_bundle(site: Site) -> None:
    site.publish("acme")
    holder = PolicyHolder(site.replica())
    with Redis.from_url(site.url) as client:
        client.delete("th:{policy}:bundles")
    assert looked(holder).finding.error is None


async def test_what_is_published_reaches_a_watching_replica(site: Site) -> None:
    site.publish("first")
    holder, stop = PolicyHolder(site.replica()), asyncio.Event()
    reports = asyncio.Queue[Snapshot | PolicyError]()
    put = reports.put_nowait
    task = asyncio.create_task(watch(holder, stop, on_success=put, on_failure=put))
    began = time.monotonic()
    await asyncio.to_thread(site.publish, "second")
    report = await asyncio.wait_for(reports.get(), SOON)
    print(f"published and in force after {(time.monotonic() - began) * 1000:.0f} ms")
    assert isinstance(report, Snapshot)
    assert report.org.name == "second"
    stop.set()
    await asyncio.wait_for(task, 5)


# What is refused


def test_what_is_not_signed_is_refused_and_the_last_good_one_stays(site: Site) -> None:
    site.publish("good")
    holder = PolicyHolder(site.replica())
    site.plant(b"tollhouse-policy-bundle 1\n", site.store.mint())
    assert looked(holder).current.org.name == "good"
    assert "is refused: it is not a policy bundle" in str(holder.finding.error)
    site.publish("better")
    assert looked(holder).current.org.name == "better"
    assert holder.finding.error is None


def test_what_another_key_signed_is_refused(site: Site) -> None:
    site.publish("good")
    bundles = site.replica()
    bundles.load()
    site.publish("forged", key=OTHER_KEY)
    assert f"it is signed by key {OTHER_KEY.public.id}" in refusal(bundles)


def test_a_replica_with_both_keys_follows_a_rotation(site: Site) -> None:
    site.publish("before")
    bundles = site.replica(KEY, OTHER_KEY)
    assert org(bundles) == "before"
    site.publish("after", key=OTHER_KEY)
    assert org(bundles) == "after"


def test_an_older_bundle_under_a_newer_serial_is_refused(site: Site) -> None:
    """The signature is good; the serial that was signed with it is not that of Redis."""
    old = site.publish("old").header.serial
    content = site.store.kept()[old]
    site.publish("new")
    bundles = site.replica()
    bundles.load()
    serial = site.store.mint()
    site.plant(content, serial)
    assert refusal(bundles) == (
        f"policy bundle: {serial} in Redis is refused: it is signed as {old}"
    )


def test_an_older_bundle_is_refused_while_the_replica_runs(site: Site) -> None:
    old = site.publish("old").header.serial
    new = site.publish("new").header.serial
    bundles = site.replica()
    bundles.load()
    set_back(site, old)
    assert f"{old} in Redis is refused: it is not newer than {new}" in refusal(bundles)


def test_an_older_bundle_is_refused_when_the_replica_starts_again(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    old = site.publish("old").header.serial
    site.publish("new")
    site.replica().load()
    set_back(site, old)
    holder = PolicyHolder(site.replica())
    assert holder.current.org.name == "new"
    assert messages(caplog) == ["starting from the policy on disk"]
    assert "is not newer than" in str(looked(holder).finding.error)


def test_another_bundle_of_the_same_serial_is_refused(site: Site) -> None:
    serial = site.publish("acme").header.serial
    bundles = site.replica()
    bundles.load()
    with Redis.from_url(site.url) as client:
        other = sealed(policy(site.folder, "other"), serial)
        client.hset("th:{policy}:bundles", str(serial), other)
    assert "it is not newer than" in refusal(bundles)


def set_back(site: Site, serial: int) -> None:
    with Redis.from_url(site.url) as client:
        client.set("th:{policy}:current", serial)


# Redis away


def test_while_redis_is_away_the_policy_stays_and_the_age_of_the_news_grows(
    fragile: Site, redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    fragile.publish("acme")
    bundles = fragile.replica()
    holder = PolicyHolder(bundles)
    contact = bundles.last_contact
    assert contact > 0
    redis_process.kill()
    for _ in range(3):
        assert looked(holder).current.org.name == "acme"
    assert (bundles.up, bundles.last_contact, holder.finding.error) == (False, contact, None)
    assert messages(caplog) == ["no news of the policy, it stays in force"]
    redis_process.start()
    fragile.publish("next")
    assert looked(holder).current.org.name == "next"
    assert bundles.up
    assert bundles.last_contact > contact


def test_a_redis_that_hangs_does_not_hold_up_a_look(
    fragile: Site, redis_process: RedisProcess
) -> None:
    fragile.publish("acme")
    holder = PolicyHolder(fragile.replica())
    redis_process.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert looked(holder).current.org.name == "acme"
        print(f"a look at a Redis that hangs took {time.monotonic() - began:.2f} s")
        assert time.monotonic() - began < 5
    finally:
        redis_process.send(signal.SIGCONT)


def test_a_bundle_that_could_not_be_fetched_is_fetched_when_redis_is_back(
    fragile: Site, redis_process: RedisProcess
) -> None:
    fragile.publish("first")
    holder = PolicyHolder(fragile.replica())
    fragile.publish("second")
    assert holder.is_stale()
    redis_process.kill()
    holder.reload()
    assert holder.current.org.name == "first"
    redis_process.start()
    assert looked(holder).current.org.name == "second"


def test_a_redis_that_was_emptied_is_told_and_a_new_bundle_is_taken(site: Site) -> None:
    site.publish("before")
    holder = PolicyHolder(site.replica())
    with Redis.from_url(site.url) as client:
        client.delete(*client.keys("th:{policy}:*"))
    assert looked(holder).current.org.name == "before"
    assert str(holder.finding.error) == (
        "policy bundle: Redis holds none: publish one (tollhouse policy publish)"
    )
    site.publish("after")
    assert looked(holder).current.org.name == "after"


# The start


def test_a_replica_starts_from_its_disk_while_redis_is_away(
    fragile: Site, redis_process: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    serial = fragile.publish("acme").header.serial
    fragile.replica().load()
    redis_process.kill()
    bundles = fragile.replica()
    holder = PolicyHolder(bundles)
    assert holder.current.org.name == "acme"
    assert (bundles.serial, bundles.up, bundles.is_cached) == (serial, False, True)
    assert messages(caplog) == ["starting from the policy on disk"]
    redis_process.start()
    fragile.publish("next")
    assert looked(holder).current.org.name == "next"


def test_a_replica_with_neither_redis_nor_a_bundle_on_disk_does_not_start(
    fragile: Site, redis_process: RedisProcess
) -> None:
    redis_process.kill()
    assert refusal(fragile.replica()) == (
        "policy bundle: Redis cannot be used (ConnectionError); and there is no good one in "
        f"{fragile.cache}"
    )


def test_a_replica_does_not_start_before_anything_was_published(site: Site) -> None:
    assert "Redis holds none: publish one (tollhouse policy publish)" in refusal(site.replica())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def forge(path: Path) -> None:
    path.write_bytes(sealed(policy(path.parent, "forged"), 99, OTHER_KEY))


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [cut, forge, make_a_folder])
def test_a_bundle_on_disk_that_is_not_good_is_told_and_not_used(
    fragile: Site,
    redis_process: RedisProcess,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    fragile.publish("acme")
    fragile.replica().load()
    spoil(fragile.cache)
    redis_process.kill()
    assert "there is no good one in" in refusal(fragile.replica())
    assert messages(caplog)[-1] == "the policy on disk cannot be used"


@pytest.mark.parametrize("spoil", [cut, forge])
def test_a_bundle_on_disk_that_is_not_good_is_replaced_from_redis(
    site: Site, spoil: Callable[[Path], None]
) -> None:
    site.publish("acme")
    site.replica().load()
    spoil(site.cache)
    assert org(site.replica()) == "acme"
    assert site.cache.read_bytes() == site.store.newest()[1]


def test_a_disk_that_cannot_be_written_is_told_once_and_tried_again(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.publish("acme")
    site.cache.parent.touch()
    bundles = site.replica()
    holder = PolicyHolder(bundles)
    for _ in range(3):
        assert looked(holder).current.org.name == "acme"
    assert not bundles.is_cached
    assert messages(caplog).count("the policy in force cannot be kept on disk") == 1
    site.cache.parent.unlink()
    looked(holder)
    assert bundles.is_cached
    assert site.cache.read_bytes() == site.store.newest()[1]
