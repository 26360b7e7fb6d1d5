"""Models, providers, teams, and what holds for everyone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from authz_service.diff.changes import (
    ACCESS_LOST,
    EVERYONE,
    MODELS,
    PROVIDERS,
    SETTING,
    Change,
    Direction,
    team_group,
)
from authz_service.diff.limits import limits_in_words
from tollhouse.money import Price, nano_to_usd
from tollhouse.policy.compiled import Alias, Org, Provider, Snapshot, Team
from tollhouse.policy.ordering import targets
from tollhouse.policy.secret import Secret

_ORG = {
    "name": "the org is called {new} instead of {old}",
    "time_zone": "days, weeks and months begin at midnight in {new} instead of {old}",
    "owner": "the org's owner is {new} instead of {old}",
    "on_store_outage": "while the ledger is away, calls meet '{new}' instead of '{old}'",
    "on_lost_reservation": "a call that never reported back: '{new}' instead of '{old}'",
    "reservation_lease_seconds": "a reservation is held {new} seconds instead of {old}",
    "default_max_output_tokens": "calls without a maximum may have {new} output tokens instead of "
    "{old}",
    "max_request_bytes": "bodies may have {new} bytes instead of {old}",
    "usage_retention_days": "the usage of a day is kept {new} days instead of {old}",
}
_ALIAS = {
    "defaults": "the parameters set by default are {new} instead of {old}",
    "max_output_tokens": "at most {new} output tokens instead of {old}",
    "max_tokens_per_media": "an image, file or sound counts {new} tokens at most instead of {old}",
    "max_tokens_for_tools": "tools count {new} tokens instead of {old}",
    "max_input_tokens": "the context window is {new} tokens instead of {old}",
    "price": "costs {new} instead of {old} USD per million tokens of input / output / cached input",
    "endpoints": "serves {new} instead of {old}",
}
# What an alias takes from its provider is told once, there.
_OF_PROVIDER = ("max_tokens_field", "stream_usage")


def org_changes(old: Org, new: Org) -> Iterator[Change]:
    """Choices that hold for every request."""
    for name, text in _ORG.items():
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            shown = text.format(old=_shown(was), new=_shown(now))
            yield Change(EVERYONE, SETTING, _org_direction(name, was, now), shown)
    for env in sorted({*old.environments} ^ {*new.environments}):
        there = f"new environment {env}" if env in new.environments else f"no environment {env}"
        yield Change(EVERYONE, SETTING, "other", there)


def team_changes(old: Mapping[str, Team], new: Mapping[str, Team]) -> Iterator[Change]:
    """Teams and projects that come and go, and owners."""
    for name in sorted({*old, *new}):
        group = team_group(name)
        if name not in new:
            yield Change(group, ACCESS_LOST, "narrower", f"the team {name} is removed")
        elif name not in old:
            yield Change(group, SETTING, "other", f"new team {name}{_with_limits(new[name])}")
        else:
            yield from _team(group, old[name], new[name])


def model_changes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """What stands behind each alias."""
    for name in sorted({*old.aliases, *new.aliases}):
        if name not in new.aliases:
            yield Change(MODELS, ACCESS_LOST, "narrower", f"{name} is removed")
        elif name not in old.aliases:
            alias = new.aliases[name]
            text = f"new model {name}, which goes to {_target(alias)} at {_shown(alias.price)} USD"
            yield Change(MODELS, SETTING, "other", f"{text} per million tokens")
        else:
            yield from _model(old.aliases[name], new.aliases[name])


def provider_changes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Where calls go."""
    for name in sorted({*old.providers, *new.providers}):
        if name not in new.providers:
            yield Change(PROVIDERS, SETTING, "other", f"{name} is removed")
        elif name not in old.providers:
            text = f"new provider {name} at {new.providers[name].base_url}"
            yield Change(PROVIDERS, SETTING, "other", text)
        else:
            yield from _provider(old.providers[name], new.providers[name])


def _team(group: str, old: Team, new: Team) -> Iterator[Change]:
    if old.owner != new.owner:
        text = f"refusals of {new.name} name {_shown(new.owner)} instead of {_shown(old.owner)}"
        yield Change(group, SETTING, "other", text)
    for project in sorted({*old.projects, *new.projects}):
        name = f"{new.name}/{project}"
        if project not in new.projects:
            yield Change(group, ACCESS_LOST, "narrower", f"the project {name} is removed")
        elif project not in old.projects:
            text = f"new project {name}{_with_limits(new.projects[project])}"
            yield Change(group, SETTING, "other", text)


def _with_limits(level: Any) -> str:
    words = limits_in_words(level.limits)
    return f" ({words})" if words else ""


def _model(old: Alias, new: Alias) -> Iterator[Change]:
    if _target(old) != _target(new):
        text = f"{new.name} now goes to {_target(new)} instead of {_target(old)}"
        yield Change(MODELS, SETTING, "other", text)
    for name, text in _ALIAS.items():
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            shown = text.format(old=_shown(was), new=_shown(now))
            direction = _alias_direction(name, was, now)
            yield Change(MODELS, SETTING, direction, f"{new.name}: {shown}")


def _provider(old: Provider, new: Provider) -> Iterator[Change]:
    for each in fields(Provider):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if was != now:
            text = f"{new.name}: {each.name} is {_shown(now)} instead of {_shown(was)}"
            yield Change(PROVIDERS, SETTING, "other", text)


def _target(alias: Alias) -> str:
    return targets(alias)


def _org_direction(name: str, old: Any, new: Any) -> Direction:
    if name in ("on_store_outage", "on_lost_reservation"):
        return "wider" if new in ("allow", "release") else "narrower"
    if name in ("default_max_output_tokens", "max_request_bytes"):
        return "wider" if new > old else "narrower"
    return "other"


def _alias_direction(name: str, old: Any, new: Any) -> Direction:
    if name == "max_output_tokens":
        unlimited = float("inf")
        return "wider" if (new or unlimited) > (old or unlimited) else "narrower"
    if name == "endpoints" and (new < old or new > old):
        return "wider" if new > old else "narrower"
    return "other"


def _shown(value: Any) -> str:
    shown: list[tuple[type, Callable[[Any], str]]] = [
        (Price, _price),
        (Secret, lambda secret: f"{secret.kind}:{secret.location}"),
        (Mapping, lambda pairs: ", ".join(f"{k}: {v}" for k, v in pairs.items()) or "none"),
        (tuple, ", ".join),
        (frozenset, lambda names: ", ".join(f"/v1/{name}" for name in sorted(names))),
        (int, lambda number: f"{number:,}"),
        (float, lambda number: f"{number:g}"),
    ]
    if value is None or value in ("", ()):
        return "none"
    return next((words(value) for kind, words in shown if isinstance(value, kind)), str(value))


def _price(price: Price) -> str:
    return " / ".join(map(nano_to_usd, (price.input, price.output, price.cached_input)))
