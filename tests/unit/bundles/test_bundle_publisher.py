"""Publishers do not undo each other unseen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from tests.unit.bundles.builders import KEY, Site, policy, store
from tollhouse.bundles.errors import PublishConflict
from tollhouse.bundles.publisher import Published, Publisher
from tollhouse.bundles.sealed import unseal

CROWD = 20


def crowd(site: Site, replacing: int | None = None) -> list[Published | PublishConflict]:
    """All at once, each its own policy and its own connection."""
    snapshots = [policy(site.folder, f"org-{number}") for number in range(CROWD)]

    def one(number: int) -> Published | PublishConflict:
        with store(site.url) as own:
            publisher = Publisher(own, KEY, f"publisher-{number}")
            try:
                return publisher.publish(snapshots[number], replacing=replacing)
            except PublishConflict as conflict:
                return conflict

    with ThreadPoolExecutor(CROWD) as pool:
        return list(pool.map(one, range(CROWD)))


def test_of_twenty_at_once_each_is_published_and_replaces_the_one_before(site: Site) -> None:
    done = [each for each in crowd(site) if isinstance(each, Published)]
    assert len(done) == CROWD
    in_order = sorted(done, key=lambda each: each.header.serial)
    serials = [each.header.serial for each in in_order]
    assert len(set(serials)) == CROWD
    assert [each.replaced for each in in_order] == [0, *serials[:-1]]
    serial, sealed = site.store.newest()
    assert sealed is not None
    assert (serial, unseal(sealed, [KEY.public]).header) == (serials[-1], in_order[-1].header)


def test_of_twenty_that_replace_the_same_bundle_one_is_published(site: Site) -> None:
    seen = site.publish("first").header.serial
    outcomes = crowd(site, replacing=seen)
    (winner,) = [each for each in outcomes if isinstance(each, Published)]
    refused = [each.current for each in outcomes if isinstance(each, PublishConflict)]
    assert (winner.replaced, set(refused), len(refused)) == (
        seen,
        {winner.header.serial},
        CROWD - 1,
    )
    assert site.store.serial() == winner.header.serial


def test_a_bundle_says_who_when_and_what(site: Site, tmp_path: Path) -> None:
    done = site.publish("acme")
    _, sealed = site.store.newest()
    assert sealed is not None
    header = unseal(sealed, [KEY.public]).header
    assert header == done.header
    assert (header.by, header.version) == ("ops", policy(tmp_path).version)
    assert header.created_at.endswith("+00:00")
    assert done.size_bytes == len(sealed)


def test_a_policy_published_twice_has_two_serials(site: Site) -> None:
    first, second = site.publish("acme"), site.publish("acme")
    assert second.header.serial > first.header.serial == second.replaced
    assert second.header.version == first.header.version


@pytest.mark.parametrize("again", [1, 2])
def test_a_publication_after_redis_was_emptied_has_a_higher_serial(site: Site, again: int) -> None:
    before = max(site.publish("acme").header.serial for _ in range(again))
    with Redis.from_url(site.url) as client:
        client.flushdb()
    assert site.publish("acme").header.serial > before
