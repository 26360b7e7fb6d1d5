"""Has Envoy taken what was rendered? It says so itself, at its admin endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tollhouse.fetch import Unreachable, get, get_json

# Envoy takes a file some milliseconds after its rename; new clusters may first resolve their names.
PATIENCE_SECONDS = 10.0
_SECOND_LOOK_SECONDS = 0.5
_LOOK_SECONDS = 0.05
_SERVICES = ("cluster_manager.cds", "http.tollhouse.rds.tollhouse")
_STATS = "/stats?format=json&filter=(version_text|update_rejected)$"


@dataclass(frozen=True, slots=True)
class EnvoyState:
    """By discovery service: the policy version of what it has taken, and how many updates it has
    refused since Envoy started. Credentials (`sds.…`) have no version."""

    versions: Mapping[str, str]
    rejected: Mapping[str, int]

    @property
    def version(self) -> str:
        """The one version in force, or both; "" where none was taken."""
        clusters, routes = (self.versions.get(name, "") for name in _SERVICES)
        if clusters == routes:
            return clusters
        return f"clusters {clusters or 'none'}, routes {routes or 'none'}"

    @property
    def refusals(self) -> int:
        return sum(self.rejected.values())


class EnvoyAdmin:
    """Envoy's admin endpoint, `url` without a slash at its end."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def state(self) -> EnvoyState:
        """Raises Unreachable."""
        try:
            listed = get_json(self.url + _STATS)["stats"]
            stats = {stat["name"]: stat["value"] for stat in listed if "name" in stat}
        except (KeyError, TypeError):
            raise Unreachable(f"{self.url} is not the admin endpoint of an Envoy") from None
        rejected = {
            name.removesuffix(".update_rejected"): int(value)
            for name, value in stats.items()
            if name.endswith(".update_rejected")
        }
        versions = {name: str(stats.get(f"{name}.version_text", "")) for name in _SERVICES}
        return EnvoyState(versions, rejected)

    def is_ready(self) -> bool:
        """Raises Unreachable."""
        return get(f"{self.url}/ready")[0] == 200


class NotTaken(Exception):
    """Envoy does not run with this policy; the message says what it does instead."""


async def wait_until_taken(
    look: Callable[[], EnvoyState],
    version: str,
    before: EnvoyState | None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Until Envoy runs with this version. `before`: its state before the files were written.

    Raises NotTaken when it refused them, cannot be asked, or did not take them in time.
    """
    started, seen, since = now(), None, now()
    while True:
        said = await _look(look, version, before)
        if said != seen:
            seen, since = said, now()
        # A refusal of the policy before may still come, and one of a credential after all else.
        if said.is_final and now() - since >= _SECOND_LOOK_SECONDS:
            if said.problem:
                raise NotTaken(said.problem)
            return
        if now() - started >= PATIENCE_SECONDS:
            raise NotTaken(f"{said.problem or 'Envoy wavers'} after {PATIENCE_SECONDS:g} s")
        await sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class _Said:
    """`problem`: why it is not taken, "" if it is. `is_final`: more time will not change it."""

    problem: str
    is_final: bool


async def _look(look: Callable[[], EnvoyState], version: str, before: EnvoyState | None) -> _Said:
    try:
        state = await asyncio.to_thread(look)
    except Unreachable as error:
        return _Said(f"Envoy cannot be asked: {error}", is_final=False)
    refused = _refused(state, version, before) if before else []
    if refused:
        return _Said(f"Envoy refused {', '.join(refused)} of policy {version}", is_final=True)
    if state.version == version:
        return _Said("", is_final=True)
    return _Said(f"Envoy has not taken policy {version}, it has {state.version or 'none'}", False)


def _refused(state: EnvoyState, version: str, before: EnvoyState) -> list[str]:
    """The services that have refused something since, those aside that have this version."""
    has_it = {name for name in _SERVICES if state.versions.get(name) == version}
    grown = (name for name, count in state.rejected.items() if count > before.rejected.get(name, 0))
    return sorted(name for name in grown if name not in has_it)


class Confirmation:
    """Says of each policy that is rendered whether Envoy has taken it; of the last one only."""

    def __init__(
        self, admin: EnvoyAdmin, say: Callable[[str], None], last_words: Callable[[], str] = str
    ) -> None:
        """`last_words`: what Envoy's log has to say about a refusal."""
        self._admin = admin
        self._say = say
        self._last_words = last_words
        self._asking: asyncio.Task[None] | None = None

    def before(self) -> EnvoyState | None:
        """To be asked before files are written; None: Envoy does not answer."""
        try:
            return self._admin.state()
        except Unreachable:
            return None

    async def confirm(self, version: str, before: EnvoyState | None) -> bool:
        """Waits for Envoy, and says what it did; whether it has taken the policy."""
        try:
            await wait_until_taken(self._admin.state, version, before)
        except NotTaken as error:
            words = self._last_words()
            self._say(
                f"{error}. Its last good configuration stays in force; the services decide by the "
                f"new policy. {words or 'Its log says why.'}"
            )
            return False
        self._say(f"Envoy has taken policy {version}")
        return True

    def begin(self, version: str, before: EnvoyState | None) -> None:
        """As `confirm`, in the background; forgets the policy before."""
        if self._asking:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._confirm(version, before))

    async def _confirm(self, version: str, before: EnvoyState | None) -> None:
        await self.confirm(version, before)

    async def close(self) -> None:
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
