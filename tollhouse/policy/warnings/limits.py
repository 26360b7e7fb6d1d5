"""Warnings about limits that can never be reached, or never be kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tollhouse.money import Usage, usd_to_nano
from tollhouse.policy.compiled import Alias
from tollhouse.policy.files import LimitsFile
from tollhouse.policy.team_files import AccessFile
from tollhouse.policy.warnings.view import Node, View, Warned, warned

_FIELDS = tuple(name for name in LimitsFile.model_fields if name != "budget_mode")
_BELOW = "budget-below-one-call"
_SPEND = tuple(name for name in _FIELDS if name.endswith("_usd"))


def warnings_of(view: View) -> Iterator[Warned]:
    """All of every level."""
    for node in view.nodes:
        if node.rules.limits.model_fields_set:
            yield from _above_parent(node)
            yield from _of_level(view, node)
        if isinstance(node.rules, AccessFile) and node.rules.model_limits:
            yield from _model_limits(view, node, node.rules)
    yield from _of_models(view)


def _above_parent(node: Node) -> Iterator[Warned]:
    for name in _FIELDS:
        own = getattr(node.rules.limits, name)
        for parent in reversed(node.parents) if own is not None else ():
            theirs = getattr(parent.rules.limits, name)
            if theirs is not None and own > theirs:
                message = f"{name} of {node.where} is larger than the {theirs} of {parent.where}"
                yield node.warn("limit-above-parent", message, "limits", name)
                break


def _model_limits(view: View, node: Node, rules: AccessFile) -> Iterator[Warned]:
    for alias, limits in rules.model_limits.items():
        if alias not in view.models(node):
            message = f"nobody at {node.where} may call '{alias}': these limits limit nothing"
            yield node.warn("model-limit-unused", message, "model_limits", alias, at_key=True)
        for name in _FIELDS:
            own, level = getattr(limits, name), getattr(rules.limits, name)
            if own is not None and level is not None and own > level:
                message = f"{name} for '{alias}' is larger than the {level} of {node.where}"
                path = ("model_limits", alias, name)
                yield node.warn("model-limit-above-level", message, *path)
        for name, said in _below_one_call(view, limits, {alias}):
            message = f"{name} for '{alias}' of {node.where} {said}"
            yield node.warn(_BELOW, message, "model_limits", alias, name)


def _of_level(view: View, node: Node) -> Iterator[Warned]:
    for name, said in _below_one_call(view, node.rules.limits, view.models(node)):
        yield node.warn(_BELOW, f"{name} of {node.where} {said}", "limits", name)


def _of_models(view: View) -> Iterator[Warned]:
    document = view.tree.models.document
    for alias, file in view.tree.models.model.models.items():
        for name, said in _below_one_call(view, file.limits, {alias}):
            message = f"{name} of the model '{alias}' {said}"
            yield warned(document, _BELOW, message, ("models", alias, "limits", name))


def _below_one_call(
    view: View, limits: LimitsFile, aliases: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """The hard budgets that one call of some of these is above, and what to say of them."""
    for name in _SPEND if limits.budget_mode == "hard" else ():
        budget = getattr(limits, name)
        for alias in sorted(aliases) if budget is not None else ():
            cost = _bound(view.snapshot.aliases[alias], view)
            if cost > usd_to_nano(budget):
                reserved = f"{cost / 1e9:.6f} USD for its output unless it asks for less"
                yield name, f"is below one call of '{alias}', which reserves {reserved}"
                break


def _bound(alias: Alias, view: View) -> int:
    if alias.price is None or "chat/completions" not in alias.endpoints:
        return 0
    output = alias.max_output_tokens or view.snapshot.org.default_max_output_tokens
    return alias.price.cost(Usage(0, output))
