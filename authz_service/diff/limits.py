"""Limits that were raised, lowered, added, removed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from authz_service.diff.changes import (
    EVERYONE,
    LIMIT,
    MODELS,
    Change,
    Direction,
    team_group,
)
from tollhouse.policy.compiled import Limits, Snapshot
from tollhouse.policy.limit_words import Stated, stated


def limit_changes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Of every level but the keys, where both policies have it."""
    yield from _pair(EVERYONE, "everybody together", old.org.limits, new.org.limits)
    yield from _each(EVERYONE, "everybody together in {}", old.org.env_limits, new.org.env_limits)
    for name in sorted(old.teams.keys() & new.teams.keys()):
        yield from _team(old, new, name)
    for name in sorted(old.aliases.keys() & new.aliases.keys()):
        before, after = old.aliases[name].limits, new.aliases[name].limits
        yield from _pair(MODELS, f"all calls of {name} together", before, after)


def differences(old: Limits, new: Limits) -> Iterator[tuple[Direction, str]]:
    """What differs, in words and by direction."""
    before = {each.field: each for each in stated(old)}
    after = {each.field: each for each in stated(new)}
    for field in (*before, *(field for field in after if field not in before)):
        yield from _difference(before.get(field), after.get(field))
    if old.budget_mode != new.budget_mode:
        direction: Direction = "wider" if new.budget_mode == "soft" else "narrower"
        yield direction, f"the budget is {new.budget_mode} instead of {old.budget_mode}"


def limits_in_words(limits: Limits) -> str:
    """ "60 requests a minute, 500 USD a month"; empty where there is none."""
    return ", ".join(each.words for each in stated(limits))


def _difference(old: Stated | None, new: Stated | None) -> Iterator[tuple[Direction, str]]:
    if old == new:
        return
    if old is None:
        assert new is not None  # noqa: S101 - they differ
        yield "narrower", f"a new limit of {new.words}"
    elif new is None:
        yield "wider", f"no limit of {old.words} any more"
    else:
        kind = "budget " if new.is_spend else ""
        direction: Direction = "wider" if new.amount > old.amount else "narrower"
        yield direction, f"{kind}{old.number} → {new.number} {new.unit}"


def _team(old: Snapshot, new: Snapshot, name: str) -> Iterator[Change]:
    before, after, group = old.teams[name], new.teams[name], team_group(name)
    yield from _pair(group, name, before.limits, after.limits)
    yield from _each(group, f"{name} {{}}", before.env_limits, after.env_limits)
    yield from _each(group, f"{name} with {{}}", before.model_limits, after.model_limits)
    for project in sorted(before.projects.keys() & after.projects.keys()):
        home, was, now = f"{name}/{project}", before.projects[project], after.projects[project]
        yield from _pair(group, home, was.limits, now.limits)
        yield from _each(group, f"{home} {{}}", was.env_limits, now.env_limits)
        yield from _each(group, f"{home} with {{}}", was.model_limits, now.model_limits)


def _each(
    group: str, subject: str, old: Mapping[str, Limits], new: Mapping[str, Limits]
) -> Iterator[Change]:
    for name in _names(old, new):
        before, after = old.get(name, Limits()), new.get(name, Limits())
        yield from _pair(group, subject.format(name), before, after)


def _names(*mappings: Iterable[str]) -> list[str]:
    return sorted({name for mapping in mappings for name in mapping})


def _pair(group: str, subject: str, old: Limits, new: Limits) -> Iterator[Change]:
    for direction, text in differences(old, new):
        yield Change(group, LIMIT, direction, f"{subject}: {text}")
