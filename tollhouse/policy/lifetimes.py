"""Which keys can be used, and until when: one key's state, and how many are in each by team."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tollhouse.policy.compiled import Key

KeyState = Literal["active", "expiring", "expired", "blocked"]
STATES: tuple[KeyState, ...] = get_args(KeyState)

EXPIRING_SECONDS = 14 * 86_400.0
"""How long before its end a key counts as expiring."""


def state_of(key: Key, now: float) -> KeyState:
    """A blocked key is blocked, whether or not it has expired."""
    if key.blocked_at is not None:
        return "blocked"
    if key.expires_at is None:
        return "active"
    if key.expires_at <= now:
        return "expired"
    return "expiring" if key.expires_at <= now + EXPIRING_SECONDS else "active"


@dataclass(frozen=True, slots=True)
class TeamLifetimes:
    """The keys of one team. `ends` are the moments at which those that are not blocked expire."""

    total: int
    blocked: int
    ends: tuple[float, ...]

    def count(self, state: KeyState, now: float) -> int:
        """How many keys are in this state, in O(log n)."""
        expired = bisect_right(self.ends, now)
        expiring = bisect_right(self.ends, now + EXPIRING_SECONDS) - expired
        active = self.total - self.blocked - expired - expiring
        counts = {"expired": expired, "expiring": expiring, "active": active}
        return counts.get(state, self.blocked)

    def next_end(self, now: float) -> float:
        """The next moment at which a key expires; infinity where none will."""
        index = bisect_right(self.ends, now)
        return self.ends[index] if index < len(self.ends) else float("inf")


NO_KEYS = TeamLifetimes(0, 0, ())


def lifetimes_of(teams: Iterable[str], keys: Iterable[Key]) -> Mapping[str, TeamLifetimes]:
    """By team, those without keys included."""
    by_team: dict[str, list[Key]] = {team: [] for team in teams}
    for key in keys:
        by_team[key.team].append(key)
    return {team: _lifetimes(members) for team, members in by_team.items()}


def _lifetimes(keys: list[Key]) -> TeamLifetimes:
    usable = [key for key in keys if key.blocked_at is None]
    ends = sorted(key.expires_at for key in usable if key.expires_at is not None)
    return TeamLifetimes(len(keys), len(keys) - len(usable), tuple(ends))
