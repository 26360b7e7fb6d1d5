"""What each level above a key says of one alias, with the entry and the line that say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from tollhouse.decisions import ALLOWED
from tollhouse.policy.compiled import Key, ModelRule
from tollhouse.policy.opened import OpenedPolicy
from tollhouse.policy.places import Written
from tollhouse.policy.selectors import Selectors

Verdict = Literal["blocks", "denies", "does not allow", "allows", "says nothing"]

_STOPPING: dict[str, tuple[Verdict, ...]] = {
    "model_not_allowed": ("denies", "does not allow"),
    "key_blocked": ("blocks",),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One level's word. `entry` of a list is what it says it by; `at` is file:line."""

    where: str
    verdict: Verdict
    at: str
    entry: str | None = None
    shadow: bool = False

    @property
    def stops(self) -> bool:
        """Whether this level, taken alone, stops the call."""
        return self.verdict in ("blocks", "denies", "does not allow")

    @property
    def words(self) -> str:
        """ "the project 'site' allows it by tag:cheap"."""
        about = "every call" if self.verdict == "blocks" else "it"
        said = self.verdict if self.verdict == "says nothing" else f"{self.verdict} {about}"
        return f"{self.where} {said}" + (f" by {self.entry}" if self.entry else "")


def steps(policy: OpenedPolicy, key: Key, alias: str) -> tuple[Step, ...]:
    """What each level of the key says, the widest first; blocks before rules at each."""
    return tuple(_steps(policy, key, alias))


def shadow_steps(policy: OpenedPolicy, key: Key, alias: str) -> tuple[Step, ...]:
    """The shadow rules that would refuse the alias, were they enforced."""
    written = [level for level in policy.places.levels(key) if level.rules.shadow]
    pairs = zip(key.shadow_rules, written, strict=True)
    said = (_step(policy.selectors, rule, level, alias, shadow=True) for rule, level in pairs)
    return tuple(step for step in said if step.stops)


def decisive(found: Iterable[Step], code: str) -> Step | None:
    """The step that made a decision of this code: the narrowest that allows, or the first that
    stops it; None where no level's word made it (an expired key, another endpoint)."""
    if code == ALLOWED:
        return next((step for step in reversed(list(found)) if step.verdict == "allows"), None)
    stopping = _STOPPING.get(code, ())
    return next((step for step in found if step.verdict in stopping), None)


def _steps(policy: OpenedPolicy, key: Key, alias: str) -> Iterator[Step]:
    for rule, level in zip(key.rules, policy.places.levels(key), strict=True):
        if level.rules.blocked:
            yield Step(rule.where, "blocks", level.at("blocked", at_key=True))
        yield _step(policy.selectors, rule, level, alias)


def _step(
    selectors: Selectors, rule: ModelRule, level: Written, alias: str, *, shadow: bool = False
) -> Step:
    prefix = ("shadow",) if shadow else ()
    lists = level.rules.shadow if shadow else level.rules
    assert lists is not None  # noqa: S101 - a shadow rule is compiled from one
    if alias in rule.denied:
        index = _entry(selectors.select, lists.denied_models, alias)
        at, entry = (*prefix, "denied_models", index), lists.denied_models[index]
        return Step(rule.where, "denies", level.at(*at), entry, shadow)
    if rule.allowed is None or lists.allowed_models is None:
        return Step(rule.where, "says nothing", level.at(at_key=True), None, shadow)
    if not rule.permits(alias):
        at_key = level.at(*prefix, "allowed_models", at_key=True)
        return Step(rule.where, "does not allow", at_key, None, shadow)
    index = _entry(selectors.allow, lists.allowed_models, alias)
    at, entry = (*prefix, "allowed_models", index), lists.allowed_models[index]
    return Step(rule.where, "allows", level.at(*at), entry, shadow)


def _entry(select: Callable[[str], frozenset[str]], entries: list[str], alias: str) -> int:
    return next(i for i, entry in enumerate(entries) if alias in select(entry))
