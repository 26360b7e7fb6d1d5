"""Serials only grow, whatever happens to Redis; who was not first is told so."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from redis import Redis

from tests.support.redis import RedisProcess
from tests.unit.bundles.builders import Site, store
from tollhouse.bundles.errors import PublishConflict, StoreUnavailable
from tollhouse.bundles.store import KEPT, BundleStore


def test_of_a_redis_without_bundles_nothing_is_in_force(site: Site) -> None:
    assert site.store.serial() == 0
    assert site.store.newest() == (0, None)
    assert site.store.kept() == {}


def test_serials_grow_also_within_a_millisecond(site: Site) -> None:
    serials = [site.store.mint() for _ in range(200)]
    assert serials == sorted(set(serials))


def test_a_serial_is_the_time_in_ms_or_later(site: Site) -> None:
    assert site.store.mint() >= int(time.time() * 1000) - 5_000


def test_a_redis_that_was_emptied_mints_higher_than_before(site: Site) -> None:
    before = site.store.mint()
    time.sleep(0.002)
    with Redis.from_url(site.url) as client:
        client.delete("th:{policy}:minted")
    assert site.store.mint() > before


def test_a_clock_that_was_set_back_mints_higher_all_the_same(site: Site) -> None:
    ahead = int(time.time() * 1000) + 86_400_000
    with Redis.from_url(site.url) as client:
        client.set("th:{policy}:minted", ahead)
    assert site.store.mint() == ahead + 1


def test_what_was_put_is_in_force_byte_for_byte(site: Site) -> None:
    content = bytes(range(256)) * 10
    assert site.store.put(5, content) == 0
    assert site.store.newest() == (5, content)
    assert site.store.put(6, b"next") == 5
    assert (site.store.serial(), site.store.newest()) == (6, (6, b"next"))


@pytest.mark.parametrize("serial", [6, 7])
def test_a_serial_that_is_not_higher_does_not_get_in_force(site: Site, serial: int) -> None:
    site.store.put(7, b"seven")
    with pytest.raises(PublishConflict) as conflict:
        site.store.put(serial, b"late")
    assert conflict.value.current == 7
    assert site.store.newest() == (7, b"seven")


def test_what_replaces_another_than_it_meant_to_is_refused(site: Site) -> None:
    assert site.store.put(5, b"five", replacing=0) == 0
    for meant, said in ((0, "no bundle"), (4, "bundle 4")):
        with pytest.raises(PublishConflict, match=f"bundle 5 is in force, not {said}: nothing was"):
            site.store.put(6, b"six", replacing=meant)
    assert site.store.put(6, b"six", replacing=5) == 5


def test_the_last_ten_are_kept_newest_first(site: Site) -> None:
    for serial in range(95, 95 + KEPT + 3):
        site.store.put(serial, str(serial).encode())
    newest = 95 + KEPT + 2
    wanted = {serial: str(serial).encode() for serial in range(newest, newest - KEPT, -1)}
    assert list(site.store.kept().items()) == list(wanted.items())


def test_a_cluster_takes_it_all_in_one_place(redis_cluster_url: str) -> None:
    with store(redis_cluster_url) as cluster:
        serial = cluster.mint()
        cluster.put(serial, b"bundle")
        assert (cluster.serial(), cluster.newest()) == (serial, (serial, b"bundle"))
        assert cluster.kept()[serial] == b"bundle"


def test_a_redis_that_was_restarted_answers_the_next_question(
    fragile: Site, redis_process: RedisProcess
) -> None:
    fragile.store.put(5, b"five")
    redis_process.terminate()
    with pytest.raises(StoreUnavailable, match=r"Redis cannot be used \(ConnectionError\)"):
        fragile.store.serial()
    redis_process.start()
    assert fragile.store.newest() == (5, b"five")


def test_a_redis_that_hangs_is_left_after_the_deadline(redis_process: RedisProcess) -> None:
    redis_process.send(signal.SIGSTOP)
    try:
        with store(redis_process.url, 0.2) as hung:
            began = time.monotonic()
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="TimeoutError"):
                    hung.serial()
            print(f"three questions to a Redis that hangs: {time.monotonic() - began:.2f} s")
            assert time.monotonic() - began < 5
    finally:
        redis_process.send(signal.SIGCONT)


def test_a_redis_that_is_full_says_so_and_keeps_what_is_in_force(fragile: Site) -> None:
    fragile.store.put(5, b"five")
    with Redis.from_url(fragile.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable, match=r"\(OOM\)"):
            fragile.store.put(6, b"six")
    assert fragile.store.newest() == (5, b"five")


@pytest.mark.parametrize("url", ["", "http://user:hidden@host", "hidden"])
def test_another_kind_of_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="must begin with redis://") as refused:
        BundleStore(url, timeout_seconds=1)
    assert "hidden" not in str(refused.value)


def test_a_password_is_not_in_what_is_said_of_a_redis_that_is_away(tmp_path: Path) -> None:
    for url in (
        "redis://user:hidden@127.0.0.1:1/0",
        "redis+cluster://user:hidden@127.0.0.1:1",
        f"unix://user:hidden@{tmp_path}/none.sock",
    ):
        with store(url, 0.5) as away, pytest.raises(StoreUnavailable) as failed:
            away.serial()
        assert "hidden" not in str(failed.value)
