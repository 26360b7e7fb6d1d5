"""Reads the ledger for the console: it holds the client of Redis, and changes nothing there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

from console.reads import scopes
from console.reads.live import LiveScope, live_scope
from console.reads.scopes import Place, slot_claims
from console.reads.usage import Grouping, UsageQuery, UsageRow
from ratelimit_service.ledger.errors import LedgerError, LedgerUnavailable
from ratelimit_service.ledger.history import noted_teams, usage_of_teams
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from tollhouse.policy.compiled import Snapshot

# Each has the whole deadline, so that a large policy does not run out of time in the queue.
_CALLS_AT_ONCE = 32


class Readings:
    """`redis_url` is as for the services; `timeout_seconds` is the deadline of each trip to Redis,
    of which a long answer needs several. `clock`, in microseconds since 1970, replaces Redis's own
    for tests.

    Every method but `close` raises LedgerUnavailable, and KeyError for what the policy does not
    have. Raises ValueError for another kind of address.
    """

    def __init__(
        self,
        redis_url: str,
        timeout_seconds: float = 2.0,
        *,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._redis = open_redis(redis_url, timeout_seconds=timeout_seconds)
        self._ledger = Ledger(self._redis, timeout_seconds=timeout_seconds, clock=clock)
        self._timeout = timeout_seconds
        self._clock = clock or _micros

    async def close(self) -> None:
        """Close the connections."""
        await self._ledger.close()

    async def usage(self, snapshot: Snapshot, query: UsageQuery) -> list[UsageRow]:
        """The history, summed up; with that of teams which the policy no longer has."""
        grouping = Grouping(query)
        with _as_unavailable():
            teams = await self._teams(snapshot, query)
            async for rows in usage_of_teams(
                self._redis, teams, list(query.days()), timeout_seconds=self._timeout
            ):
                grouping.add(rows)
        return grouping.rows()

    async def key_scopes(self, snapshot: Snapshot, key_id: str) -> list[LiveScope]:
        """The key, its project, team and org; its environment's; and what these may use of single
        models that the key may call."""
        return await self._live(snapshot, scopes.of_key(snapshot, key_id))

    async def project_scopes(self, snapshot: Snapshot, team: str, project: str) -> list[LiveScope]:
        """The project, what it may use of single models and in environments, and its keys."""
        return await self._live(snapshot, scopes.of_project(snapshot, team, project))

    async def team_scopes(self, snapshot: Snapshot, team: str) -> list[LiveScope]:
        """The team, what it may use of single models and in environments, and its projects."""
        return await self._live(snapshot, scopes.of_team(snapshot, team))

    async def budgets(self, snapshot: Snapshot, teams: Collection[str] | None) -> list[LiveScope]:
        """These teams as a whole; None is the org and all of its teams, the org first."""
        found = [place for place in scopes.teams(snapshot) if teams is None or place.team in teams]
        return await self._live(
            snapshot, [scopes.org(snapshot), *found] if teams is None else found
        )

    async def model_scopes(self, snapshot: Snapshot, alias: str) -> list[LiveScope]:
        """The model, and what teams and projects may use of it alone: `team` says whose that is."""
        return await self._live(snapshot, scopes.of_model(snapshot, alias))

    async def watched(self, snapshot: Snapshot) -> list[LiveScope]:
        """What alerts look at: every scope that has a budget, and every team."""
        places = dict.fromkeys([*scopes.with_budget(snapshot), *scopes.teams(snapshot)])
        return await self._live(snapshot, places)

    async def _teams(self, snapshot: Snapshot, query: UsageQuery) -> list[str]:
        if query.team is not None:
            return [query.team]
        noted = await noted_teams(self._redis, timeout_seconds=self._timeout)
        return sorted(team for team in {*noted, *snapshot.teams} if query.sees(team))

    async def _live(self, snapshot: Snapshot, places: Iterable[Place]) -> list[LiveScope]:
        time_zone, wanted = snapshot.org.time_zone, list(places)
        found: dict[Place, LiveScope] = {}
        calls = slot_claims(wanted)
        while some := list(islice(calls, _CALLS_AT_ONCE)):
            with _as_unavailable():
                answers = await asyncio.gather(
                    *(self._ledger.inspect(claim, time_zone) for _, claim in some)
                )
            now = self._clock() / 1_000_000
            for (asked, _), states in zip(some, answers, strict=True):
                for place, state in zip(asked, states, strict=True):
                    found[place] = live_scope(place, state, time_zone, now)
        return [found[place] for place in wanted]


def _micros() -> int:
    return time.time_ns() // 1000


@contextmanager
def _as_unavailable() -> Iterator[None]:
    # A store that answers with what no ledger would (another password, other data) can be read as
    # little as one that is away.
    try:
        yield
    except LedgerUnavailable:
        raise
    except LedgerError as error:
        raise LedgerUnavailable(str(error)) from error
