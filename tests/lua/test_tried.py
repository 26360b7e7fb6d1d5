"""Which of the deployments that were asked may have been at work when its time was up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lua.modules import Modules, from_lua

LUA = Modules()
SPENT = {"usage": {"output_tokens": 100}}


def noted(waited: int, *, patience: int | None = 1_000, status: str | None = None) -> bool:
    last: dict[str, Any] = {"at": 5_000, **({"status": status} if status else {})}
    table = LUA.table(last)
    LUA.raw("tried", "note_silence", table, 5_000 + waited, patience, SPENT)
    return "silent" in from_lua(table)


@pytest.mark.parametrize("waited", [900, 999, 1_000, 5_000])
def test_one_that_was_asked_for_as_long_as_the_timer_may_take_was_silent(waited: int) -> None:
    # Envoy's timer and the clock of Lua differ by milliseconds, more on a busy worker.
    assert noted(waited)


@pytest.mark.parametrize("waited", [0, 20, 899])
def test_one_that_ended_sooner_hung_up(waited: int) -> None:
    assert not noted(waited)


def test_one_that_answered_was_not_silent_however_long_it_took() -> None:
    assert not noted(5_000, status="503")


def test_where_nobody_else_is_asked_nothing_is_noted() -> None:
    assert not noted(5_000, patience=None)
