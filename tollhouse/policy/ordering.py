"""In which order an alias's deployments are asked, and for how long. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tollhouse.policy.compiled import Alias, Deployment, Key, Limits, Snapshot


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that one deployment has until it begins to answer, before the next is asked; and
    seconds without a byte after which an answer that had begun is given up."""

    first_byte: float
    idle: float

    @property
    def route(self) -> str:
        """The value of the header that chooses the route of calls with several places to go to:
        these routes differ in their patience alone. No provider's name begins with a star."""
        return f"*{self.first_byte:g}/{self.idle:g}"


def patience_of(snapshot: Snapshot, alias: Alias) -> Patience:
    """What the alias says; else, and for an answer that has begun, what its providers may take."""
    chain = [alias, *(snapshot.aliases[name] for name in alias.fallbacks)]
    providers = {each.provider for link in chain for each in link.deployments}
    idle = [snapshot.providers[name].idle_timeout_seconds for name in providers]
    return Patience(alias.fallback_after_seconds or min(idle), max(idle))


def has_several(alias: Alias) -> bool:
    """Whether a call may be sent to more than one place."""
    return len(alias.deployments) > 1 or bool(alias.fallbacks)


def may_fall_back(snapshot: Snapshot, key: Key, fallback: Alias) -> bool:
    """Whether calls of this key may be answered by this alias in place of another.

    Only where the key may call it, and no limit counts its calls apart: the call is counted under
    the alias that was called, and would escape it.
    """
    return fallback.name in key.models and not is_counted_apart(snapshot, key, fallback)


def is_counted_apart(snapshot: Snapshot, key: Key, alias: Alias) -> bool:
    """Whether any limit is for calls of this alias alone, when this key makes them."""
    scopes = snapshot.scopes(key, alias)
    apart = (each for each in scopes if each.level == "alias" or each.model == alias.name)
    return any(each.limits != Limits() for each in apart)


def targets(alias: Alias) -> str:
    """In words: "openai/gpt-4o", "openai/gpt-4o (3 of 4), azure/gpt-4o (1 of 4), then xai/grok"."""
    by_order = sorted(alias.deployments, key=lambda each: each.order)
    groups = [list(group) for _, group in groupby(by_order, key=lambda each: each.order)]
    words = [", ".join(_shares(group)) for group in groups]
    words += [f"model {name}" for name in alias.fallbacks]
    return ", then ".join(words)


def _shares(group: list[Deployment]) -> Iterator[str]:
    whole = sum(each.weight for each in group)
    for each in group:
        share = f" ({each.weight} of {whole})" if len(group) > 1 else ""
        yield f"{each.provider}/{each.model}{share}"
