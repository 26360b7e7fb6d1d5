"""A service's policy: loaded at start, followed while it runs, shown in metrics and logs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.lifetimes import NO_KEYS, STATES, KeyState, TeamLifetimes, lifetimes_of
from tollhouse.policy.problems import PolicyError

log = logging.getLogger("tollhouse.policy")


@dataclass(frozen=True, slots=True)
class InForce:
    """What /policy says: the version, since when (seconds since the epoch), and, when the files
    say something else, the problems that keep it from being taken."""

    version: str | None = None
    loaded_at: float | None = None
    problems: tuple[str, ...] = ()


class PolicyMetrics:
    """Which snapshot is in force, and how reloads went. Told to Prometheus, the log and /policy."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float] = time.time) -> None:
        self._in_force = InForce()
        self._version = Gauge(
            "tollhouse_policy_info",
            "The policy in force (always 1).",
            ["version"],
            registry=registry,
        )
        self._reloads = Counter(
            "tollhouse_policy_reloads",
            "Policy loads by result; a failed one leaves the last good policy in force.",
            ["result"],
            registry=registry,
        )
        self._loaded = Gauge(
            "tollhouse_policy_last_reload_success_timestamp_seconds",
            "When the policy in force was loaded.",
            registry=registry,
        )
        self._stale = Gauge(
            "tollhouse_policy_stale",
            "1 while the newest policy is not in force: wrong, or being written.",
            registry=registry,
        )
        self._keys = KeyMetrics(registry, clock)
        for result in ("success", "failure"):
            self._reloads.labels(result)

    def document(self) -> dict[str, Any]:
        """The JSON document at /policy."""
        told = self._in_force
        return {**asdict(told), "stale": bool(told.problems)}

    def loaded(self, snapshot: Snapshot) -> None:
        before, now = self._in_force, time.time()
        # A bad edit that was taken back leaves the version, and the time, as they were.
        since = before.loaded_at if before.version == snapshot.version else now
        self._in_force = InForce(snapshot.version, since)
        self._version.clear()
        self._version.labels(snapshot.version).set(1)
        self._reloads.labels("success").inc()
        self._loaded.set_to_current_time()
        self._stale.set(0)
        self._keys.loaded(snapshot)
        log.info("policy loaded", extra={"fields": {"policy_version": snapshot.version}})

    def failed(self, error: PolicyError) -> None:
        self._reloads.labels("failure").inc()
        self._stale.set(1)
        problems = tuple(map(str, error.problems))
        self._in_force = replace(self._in_force, problems=problems)
        for problem in error.problems:
            log.error(
                "policy refused, the last good one stays in force",
                extra={"fields": {"problem": str(problem)}},
            )


class KeyMetrics:
    """How many keys are in each state, and when the next one expires, by team, at each scrape."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._teams: Collection[str] = ()
        self._lifetimes: Callable[[], Mapping[str, TeamLifetimes]] = dict
        self._count = Gauge(
            "tollhouse_keys",
            "Keys by state; expiring: within 14 days.",
            ["team", "state"],
            registry=registry,
        )
        self._next = Gauge(
            "tollhouse_keys_next_expiry_timestamp_seconds",
            "When the next key of the team expires, +Inf where none will.",
            ["team"],
            registry=registry,
        )

    def loaded(self, snapshot: Snapshot) -> None:
        """Count the keys of this policy from now on; teams that are gone are gone here too."""
        # Counted by the first scrape, in its own thread: calls wait for whoever says `loaded`.
        self._lifetimes = cache(partial(lifetimes_of, snapshot.teams, snapshot.keys.values()))
        if self._teams != snapshot.teams.keys():
            self._teams = snapshot.teams.keys()
            self._label()

    def _label(self) -> None:
        self._count.clear()
        self._next.clear()
        for team in self._teams:
            self._next.labels(team).set_function(partial(self._next_end, team))
            for state in STATES:
                count = partial(self._count_of, team, state)
                self._count.labels(team, state).set_function(count)

    def _count_of(self, team: str, state: KeyState) -> float:
        return self._of(team).count(state, self._clock())

    def _next_end(self, team: str) -> float:
        return self._of(team).next_end(self._clock())

    def _of(self, team: str) -> TeamLifetimes:
        # A scrape may still ask for a team that a reload takes away meanwhile.
        return self._lifetimes().get(team, NO_KEYS)
