"""One policy against another. Pure.

What nobody's call can feel is no change: comments, the order of lists, descriptions, a tag's name.
"""

from __future__ import annotations

from authz_service.diff.changes import EVERYONE, MANAGEMENT, MODELS, PROVIDERS, Change
from authz_service.diff.keys import key_changes
from authz_service.diff.limits import limit_changes
from authz_service.diff.management import management_changes
from authz_service.diff.settings import (
    model_changes,
    org_changes,
    provider_changes,
    team_changes,
)
from tollhouse.policy.compiled import Snapshot


def compare(old: Snapshot, new: Snapshot) -> list[tuple[str, list[Change]]]:
    """The changes by group, the most important first: management, everyone, teams, models,
    providers."""
    groups: dict[str, list[Change]] = {}
    for change in _changes(old, new):
        groups.setdefault(change.group, []).append(change)
    for changes in groups.values():
        changes.sort(key=lambda one: (one.rank, one.direction, one.text))
    return sorted(groups.items(), key=_importance)


def _changes(old: Snapshot, new: Snapshot) -> list[Change]:
    return [
        *key_changes(old, new),
        *limit_changes(old, new),
        *team_changes(old.teams, new.teams),
        *org_changes(old.org, new.org),
        *model_changes(old, new),
        *provider_changes(old, new),
        *management_changes(old.management, new.management),
    ]


def _importance(group: tuple[str, list[Change]]) -> tuple[int, int, str]:
    name, changes = group
    place = {MANAGEMENT: 0, EVERYONE: 1, MODELS: 3, PROVIDERS: 4}.get(name, 2)
    return (place, changes[0].rank, name)
