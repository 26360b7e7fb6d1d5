"""When may a tree be read that somebody may be writing to? Pure but for the clock it is given.

A reading counts only if the tree was at rest before it and the same after it. Three bounds:

- QUIET_SECONDS without a change is rest;
- a tree that does not come to rest is read all the same after PATIENCE_SECONDS, so that nobody can
  hold back a block by writing on and on, and the reading counts if nothing changed during it;
- while another program says that it is not done (git's lock), nothing is read at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

QUIET_SECONDS = 0.25
PATIENCE_SECONDS = 5.0
LOOK_SECONDS = 0.05

T_co = TypeVar("T_co", covariant=True)


class NotAtRest(Exception):
    """The tree could not be read as one; the message says what goes on there."""


class Tree(Protocol[T_co]):
    """What is read."""

    def fingerprint(self) -> Hashable:
        """Another one after every change."""
        ...

    def unfinished(self) -> str | None:
        """What another program is in the middle of, None if nothing is known."""
        ...

    def read(self) -> T_co: ...


@dataclass(frozen=True, slots=True)
class Clock:
    """Monotonic seconds, and how to let them pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Reading(Generic[T_co]):
    """What was read, and of which state; `hurried`: the tree had not come to rest."""

    found: T_co
    fingerprint: Hashable
    hurried: bool


def read_at_rest(tree: Tree[T_co], clock: Clock, *, rested: bool = False) -> Reading[T_co]:
    """Reads the tree as one. `rested`: it is known to be at rest, so the first try does not wait.

    Raises NotAtRest, and whatever `tree.read` raises.
    """
    give_up = clock.now() + PATIENCE_SECONDS
    while True:
        before, quiet = (tree.fingerprint(), True) if rested else _rest(tree, clock, give_up)
        if going_on := tree.unfinished():
            raise NotAtRest(going_on)
        found = tree.read()
        if tree.fingerprint() == before and tree.unfinished() is None:
            return Reading(found, before, hurried=not quiet)
        if clock.now() >= give_up:
            raise NotAtRest(f"files have kept changing for {PATIENCE_SECONDS:g} s")
        rested = False


def _rest(tree: Tree[T_co], clock: Clock, give_up: float) -> tuple[Hashable, bool]:
    """The fingerprint at rest, or the last one seen before patience ended."""
    seen, since = tree.fingerprint(), clock.now()
    while clock.now() < give_up:
        if clock.now() - since >= QUIET_SECONDS and tree.unfinished() is None:
            return seen, True
        clock.sleep(LOOK_SECONDS)
        now = tree.fingerprint()
        if now != seen:
            seen, since = now, clock.now()
    return seen, False
