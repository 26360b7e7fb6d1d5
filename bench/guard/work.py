"""What is counted: one operation of a path, many times over."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import repeat
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Work:
    """`run(n)` does the operation n times; `times` is how often it is done while it is counted.

    `reference` names the work whose cost this one's is divided by: one in the same engine.
    """

    name: str
    reference: str
    times: int
    run: Callable[[int], object]


def repeated(operation: Callable[[], object]) -> Callable[[int], None]:
    """The operation as `Work.run`."""

    def run(times: int) -> None:
        for _ in repeat(None, times):
            operation()

    return run


def done(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine returns that waits for nothing: without an event loop, whose own work would
    be counted."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    coroutine.close()
    raise AssertionError("it waits for something")
