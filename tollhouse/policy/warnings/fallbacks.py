"""Warnings about fallbacks that are never asked."""

from __future__ import annotations

from collections.abc import Iterator

from tollhouse.policy.compiled import Alias, Limits, Snapshot
from tollhouse.policy.ordering import is_counted_apart
from tollhouse.policy.warnings.view import View, Warned, warned

_CODE = "fallback-without-effect"


def warnings_of(view: View) -> Iterator[Warned]:
    """All of models.yaml."""
    for name, alias in view.snapshot.aliases.items():
        for index, other in enumerate(alias.fallbacks):
            why = _never_asked(view.snapshot, alias, view.snapshot.aliases[other])
            if why:
                message = f"'{name}' never falls back to '{other}': {why}"
                path = ("models", name, "fallbacks", index)
                yield warned(view.tree.models.document, _CODE, message, path)


def _never_asked(snapshot: Snapshot, alias: Alias, fallback: Alias) -> str | None:
    if not alias.endpoints & fallback.endpoints:
        return f"it serves none of {', '.join(sorted(alias.endpoints))}"
    if fallback.limits != Limits():
        return "its own limits count its calls apart"
    callers = [key for key in snapshot.keys.values() if alias.name in key.models]
    both = [key for key in callers if fallback.name in key.models]
    if callers and not both:
        return f"no key that may call '{alias.name}' may call it"
    if both and all(is_counted_apart(snapshot, key, fallback) for key in both):
        return f"model_limits count it apart for every key that may call '{alias.name}' and it"
    return None
