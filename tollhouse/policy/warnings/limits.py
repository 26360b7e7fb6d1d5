"""Warnings about limits that can never be reached, or never be kept."""

from __future__ import annotations

from collections.abc import Iterator

from tollhouse.money import Price, Usage, usd_to_nano
from tollhouse.policy.compiled import Alias
from tollhouse.policy.files import AccessFile, LimitsFile
from tollhouse.policy.warnings.view import Node, View, Warned

_FIELDS = tuple(name for name in LimitsFile.model_fields if name != "budget_mode")
_SPEND = tuple(name for name in _FIELDS if name.endswith("_usd"))


def warnings_of(view: View) -> Iterator[Warned]:
    """All of every level."""
    for node in view.nodes:
        if node.rules.limits.model_fields_set:
            yield from _above_parent(node)
            yield from _below_one_call(view, node)
        if isinstance(node.rules, AccessFile) and node.rules.model_limits:
            yield from _model_limits(view, node, node.rules)


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


def _below_one_call(view: View, node: Node) -> Iterator[Warned]:
    limits = node.rules.limits
    for name in _SPEND if limits.budget_mode == "hard" else ():
        budget = getattr(limits, name)
        if budget is None:
            continue
        for alias in sorted(view.models(node)):
            cost = _bound(view.snapshot.aliases[alias], view)
            if cost > usd_to_nano(budget):
                message = (
                    f"{name} of {node.where} is below one call of '{alias}', which reserves"
                    f" {cost / 1e9:.6f} USD for its output unless it asks for less"
                )
                yield node.warn("budget-below-one-call", message, "limits", name)
                break


def _bound(alias: Alias, view: View) -> int:
    if alias.price is None or "chat/completions" not in alias.endpoints:
        return 0
    output = alias.max_output_tokens or view.snapshot.org.default_max_output_tokens
    return _cost(alias.price, Usage(0, output))


def _cost(price: Price, usage: Usage) -> int:
    return price.cost(usage)
