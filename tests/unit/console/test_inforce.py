"""A write waits until every service goes by it, and no longer than it must."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from console.inforce import InForce
from tollhouse.serving.http import SideDoor
from tollhouse.serving.readiness import Readiness

OLD, NEW = "0" * 12, "1" * 12
WRITTEN_AT = 1_800_000_000.0


@contextlib.contextmanager
def service(**told: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """A side door that says this at /policy; what it says may be changed."""
    said = {"version": OLD, "loaded_at": WRITTEN_AT - 60, "stale": False, **told}
    door = SideDoor("127.0.0.1", 0, CollectorRegistry(), Readiness(), lambda: said)
    door.start()
    try:
        yield door.url, said
    finally:
        door.stop()


async def test_where_nobody_can_be_asked_it_is_unknown() -> None:
    assert await InForce(()).wait(NEW, WRITTEN_AT) is None


async def test_it_is_in_force_once_all_say_so() -> None:
    with service(version=NEW) as (first, _), service(version=NEW) as (second, _):
        assert await InForce((first, second)).wait(NEW, WRITTEN_AT) is True


async def test_one_that_still_goes_by_the_old_policy_is_waited_for() -> None:
    with service(version=NEW) as (first, _), service() as (second, said):
        assert await InForce((first, second), 0.1).wait(NEW, WRITTEN_AT) is False
        said["version"] = NEW
        assert await InForce((first, second), 0.1).wait(NEW, WRITTEN_AT) is True


async def test_somebody_elses_later_edit_is_as_good() -> None:
    with service(version="2" * 12, loaded_at=WRITTEN_AT + 1) as (url, _):
        assert await InForce((url,)).wait(NEW, WRITTEN_AT) is True


@pytest.mark.parametrize(
    "told",
    [
        {"version": "2" * 12, "loaded_at": WRITTEN_AT - 1},
        {"version": OLD, "loaded_at": WRITTEN_AT + 1, "stale": True},
        {"version": None, "loaded_at": None},
    ],
)
async def test_an_earlier_or_a_refused_policy_is_not(told: dict[str, Any]) -> None:
    with service(**told) as (url, _):
        assert await InForce((url,), 0.1).wait(NEW, WRITTEN_AT) is False


async def test_a_service_that_is_away_is_waited_for_no_longer_than_said() -> None:
    assert await InForce(("http://127.0.0.1:9",), 0.1).wait(NEW, WRITTEN_AT) is False
