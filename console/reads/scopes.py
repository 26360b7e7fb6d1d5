"""Which scopes of a policy are looked at together. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ratelimit_service.claims import scope_name
from ratelimit_service.ledger.types import ScopeClaim, Slot, SlotClaim
from tollhouse.policy.compiled import Key, Limits, Project, Scope, Snapshot, Team

# One script call reads so many: Redis does nothing else meanwhile, for about a millisecond.
_SCOPES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Place:
    """A scope, and the team and project that it is in; None where it is in none."""

    scope: Scope
    team: str | None = None
    project: str | None = None

    @property
    def slot(self) -> Slot:
        """Where the ledger counts it."""
        if self.team is not None:
            return Slot("team", self.team)
        return Slot("alias" if self.scope.level == "alias" else "org", self.scope.name)


def slot_claims(places: Iterable[Place]) -> Iterator[tuple[list[Place], SlotClaim]]:
    """What the ledger is asked for: places of one slot at a time, and not too many."""
    by_slot: dict[Slot, list[Place]] = {}
    for place in places:
        by_slot.setdefault(place.slot, []).append(place)
    for slot, found in by_slot.items():
        for first in range(0, len(found), _SCOPES_AT_ONCE):
            some = found[first : first + _SCOPES_AT_ONCE]
            claims = (ScopeClaim(scope_name(each.scope), each.scope.limits) for each in some)
            yield some, SlotClaim(slot, tuple(claims))


def of_key(snapshot: Snapshot, key_id: str) -> list[Place]:
    """The key, its project, team and org; its environment's; those of single models that it may
    call. Raises KeyError."""
    key = snapshot.keys[key_id]
    team = snapshot.teams[key.team]
    project = team.projects[key.project]
    above = (_project(team, project), _team(team))
    beside = [
        place
        for place, by_model, by_env in (
            (_key(snapshot, key), key.model_limits, {}),
            (above[0], project.model_limits, project.env_limits),
            (above[1], team.model_limits, team.env_limits),
            (org(snapshot), {}, snapshot.org.env_limits),
        )
        for place in (
            *_for_models(place, {name: by_model[name] for name in by_model if name in key.models}),
            *_for_envs(place, {env: by_env[env] for env in by_env if env == key.env}),
        )
    ]
    return [_key(snapshot, key), *above, org(snapshot), *beside]


def of_project(snapshot: Snapshot, team: str, project: str) -> list[Place]:
    """The project, its limits for single models and environments, and its keys. Raises KeyError."""
    found = snapshot.teams[team]
    whole = _whole_project(found, found.projects[project])
    keys = (key for key in snapshot.keys.values() if (key.team, key.project) == (team, project))
    return [*whole, *(_key(snapshot, key) for key in keys)]


def of_team(snapshot: Snapshot, team: str) -> list[Place]:
    """The team, its limits for single models and environments, and its projects.

    Raises KeyError.
    """
    found = snapshot.teams[team]
    return [*_whole_team(found), *(_project(found, each) for each in found.projects.values())]


def of_model(snapshot: Snapshot, alias: str) -> list[Place]:
    """The model, and what teams and projects may use of it alone. Raises KeyError."""
    found = snapshot.aliases[alias]
    whole = Place(Scope("alias", alias, found.limits, snapshot.org.owner))
    everyones = [place for team in snapshot.teams.values() for place in _without_keys(team)]
    return [whole, *(place for place in everyones if place.scope.model == alias)]


def org(snapshot: Snapshot) -> Place:
    """The whole org."""
    found = snapshot.org
    return Place(Scope("org", found.name, found.limits, found.owner))


def teams(snapshot: Snapshot) -> list[Place]:
    """Every team as a whole."""
    return [_team(team) for team in snapshot.teams.values()]


def with_budget(snapshot: Snapshot) -> list[Place]:
    """Every scope that has a budget, the widest first."""
    keys = (
        place
        for key in snapshot.keys.values()
        for whole in [_key(snapshot, key)]
        for place in (whole, *_for_models(whole, key.model_limits))
    )
    models = (
        Place(Scope("alias", alias.name, alias.limits, snapshot.org.owner))
        for alias in snapshot.aliases.values()
    )
    whole = org(snapshot)
    every = [whole, *_for_envs(whole, snapshot.org.env_limits), *models]
    every += [place for team in snapshot.teams.values() for place in _without_keys(team)]
    return [place for place in (*every, *keys) if place.scope.limits.has_budget]


def _without_keys(team: Team) -> Iterator[Place]:
    yield from _whole_team(team)
    for project in team.projects.values():
        yield from _whole_project(team, project)


def _whole_team(team: Team) -> list[Place]:
    place = _team(team)
    return [place, *_for_models(place, team.model_limits), *_for_envs(place, team.env_limits)]


def _whole_project(team: Team, project: Project) -> list[Place]:
    place = _project(team, project)
    return [place, *_for_models(place, project.model_limits), *_for_envs(place, project.env_limits)]


def _team(team: Team) -> Place:
    return Place(Scope("team", team.name, team.limits, team.owner), team.name)


def _project(team: Team, project: Project) -> Place:
    scope = Scope("project", project.name, project.limits, team.owner)
    return Place(scope, team.name, project.name)


def _key(snapshot: Snapshot, key: Key) -> Place:
    owner = snapshot.teams[key.team].owner
    return Place(Scope("key", key.id, key.limits, owner), key.team, key.project)


def _for_models(place: Place, by_model: Mapping[str, Limits]) -> Iterator[Place]:
    for model, limits in by_model.items():
        yield replace(place, scope=replace(place.scope, limits=limits, model=model))


def _for_envs(place: Place, by_env: Mapping[str, Limits]) -> Iterator[Place]:
    for env, limits in by_env.items():
        yield replace(place, scope=replace(place.scope, limits=limits, env=env))
