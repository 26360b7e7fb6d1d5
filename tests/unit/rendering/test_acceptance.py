"""Whether Envoy has taken a policy is read from what Envoy says, with patience. Time is the
tests' own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from tollhouse.fetch import Unreachable
from tollhouse.rendering.acceptance import (
    PATIENCE_SECONDS,
    EnvoyState,
    NotTaken,
    wait_until_taken,
)

CDS, RDS, SDS = "cluster_manager.cds", "http.tollhouse.rds.tollhouse", "sds.openai"


def state(clusters: str, routes: str, cds: int = 2, sds: int = 0) -> EnvoyState:
    return EnvoyState({CDS: clusters, RDS: routes}, {CDS: cds, RDS: 0, SDS: sds})


OLD = state("old", "old")


@dataclass
class Envoy:
    """Says one state after the other, the last for ever."""

    says: Iterator[Callable[[], EnvoyState]]
    last: Callable[[], EnvoyState] = lambda: OLD
    now: float = 0.0
    asked: list[float] = field(default_factory=list)

    def look(self) -> EnvoyState:
        self.asked.append(self.now)
        self.last = next(self.says, self.last)
        return self.last()

    async def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def take(self, before: EnvoyState | None = OLD) -> None:
        await wait_until_taken(self.look, "new", before, lambda: self.now, self.sleep)


def envoy(*states: EnvoyState | None) -> Envoy:
    """None: it does not answer."""

    def said(one: EnvoyState | None) -> EnvoyState:
        if one is None:
            raise Unreachable("http://127.0.0.1:1 does not answer: Connection refused")
        return one

    return Envoy(iter([lambda one=one: said(one) for one in states]))  # type: ignore[misc]


async def test_it_is_taken_when_clusters_and_routes_both_have_its_version() -> None:
    asked = envoy(OLD, state("new", "old"), state("new", "new"))
    await asked.take()
    assert asked.now < 1


async def test_a_refusal_is_told_with_the_service_that_refused() -> None:
    asked = envoy(OLD, state("old", "new", cds=3))
    with pytest.raises(NotTaken, match=r"^Envoy refused cluster_manager.cds of policy new$"):
        await asked.take()
    assert asked.now < 1


async def test_a_refusal_of_the_policy_before_is_not_taken_for_one_of_this() -> None:
    await envoy(state("old", "new", cds=3), state("new", "new", cds=3)).take()


async def test_a_credential_that_is_refused_after_all_else_was_taken_is_told() -> None:
    with pytest.raises(NotTaken, match=r"^Envoy refused sds\.openai of policy new$"):
        await envoy(state("new", "new"), state("new", "new", sds=1)).take()


async def test_an_envoy_that_does_not_take_it_is_waited_for_and_told() -> None:
    asked = envoy(OLD)
    with pytest.raises(NotTaken, match=r"^Envoy has not taken policy new, it has old after 10 s$"):
        await asked.take()
    assert asked.now >= PATIENCE_SECONDS


async def test_an_envoy_that_does_not_answer_is_told() -> None:
    with pytest.raises(NotTaken, match=r"^Envoy cannot be asked: .*Connection refused after 10 s"):
        await envoy(None).take()


async def test_an_envoy_that_answers_late_is_waited_for() -> None:
    await envoy(None, None, state("new", "new")).take(before=None)


async def test_refusals_before_nobody_asked_are_no_refusals_of_this_policy() -> None:
    await envoy(state("old", "old", cds=7), state("new", "new", cds=7)).take(before=None)
