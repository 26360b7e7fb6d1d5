"""What budgets ask of the models that they apply to: a price, and a bound on a call's cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tollhouse.endpoints import UNCHECKED
from tollhouse.policy.compiled import Alias, Key, Limits, Scope, Snapshot
from tollhouse.policy.deployments import Priced
from tollhouse.policy.ordering import may_fall_back
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.tree import PolicyTree

UNBOUNDED = frozenset(
    {
        "api_base",
        "audio",
        "best_of",
        "cached_content",
        "chat_template",
        "chat_template_kwargs",
        "content_policy_fallbacks",
        "context_window_fallbacks",
        "data_sources",
        "deferred",
        "enable_search",
        "extra_body",
        "fallbacks",
        "mm_processor_kwargs",
        "models",
        "plugins",
        "preset",
        "provider",
        "safety_model",
        "search_parameters",
        "user_config",
        "web_search_options",
    }
)
"""Parameters that can cost more than a call's tokens, unless null or false: docs/reservation.md.

envoy/lua/unbounded.lua names the same where clients send them; a test holds the two together.
"""

_CHEAP_TIERS = {"auto", "default", "flex"}
_CLIENTS_TOOLS = {"function", "custom"}


@dataclass(frozen=True, slots=True)
class Budget:
    """One spend limit that calls of a model count in: its field, where it stands, its mode."""

    field: str
    where: str
    hard: bool


def problems_of(
    tree: PolicyTree, snapshot: Snapshot, deployments: Mapping[str, list[Priced]]
) -> Iterator[PolicyProblem]:
    """The models that a budget applies to and nobody can reckon with."""
    unbounded = {name: _unbounded_defaults(alias) for name, alias in snapshot.aliases.items()}
    asking = [a for a in snapshot.aliases.values() if not a.is_priced or unbounded[a.name]]
    callers = _callers(tree, snapshot) if asking else []
    for alias in asking:
        budgets = list(_budgets_over(snapshot, alias, callers))
        if budgets and not alias.is_priced:
            pricings = (pricing for _, pricing in deployments[alias.name])
            because = next(each.missing_because for each in pricings if not each.price)
            yield tree.models.problem(
                ("models", alias.name), _unpriced(alias, budgets[0], because), at_key=True
            )
        hard = next((budget for budget in budgets if budget.hard), None)
        for name in unbounded[alias.name] if hard else ():
            place = ("models", alias.name, "defaults", name)
            yield tree.models.problem(place, _unbounded(alias, name, hard), at_key=True)


def _unpriced(alias: Alias, budget: Budget, because: str) -> str:
    is_unchecked = bool(alias.endpoints & UNCHECKED)
    units = "per_request: …" if is_unchecked else "input_per_million: …, output_per_million: …"
    return (
        f"'{alias.name}' needs a price, for the {budget.field} of {budget.where} applies to it and"
        f" {because}: write price: {{{units}}}"
    )


def _unbounded(alias: Alias, name: str, budget: Budget | None) -> str:
    assert budget is not None  # noqa: S101 - asked under a hard budget only
    return (
        f"'{name}' can cost more than the tokens of a call, and the {budget.field} of"
        f" {budget.where}, which applies to '{alias.name}', is a hard budget: remove the default,"
        " or write budget_mode: soft beside that limit"
    )


def _unbounded_defaults(alias: Alias) -> list[str]:
    values = {name: json.loads(text) for name, text in alias.defaults.items()}
    return [
        name
        for name, value in values.items()
        if is_unbounded(name, value) and not (name == "service_tier" and _prices(alias, value))
    ]


def _prices(alias: Alias, tier: object) -> bool:
    """Whether a service tier has a price of its own, whichever deployment answers."""
    prices = [each.price for each in alias.deployments]
    return all(price and tier in dict(price.service_tiers) for price in prices)


def is_unbounded(name: str, value: object) -> bool:
    """Whether a parameter with this value can cost more than the tokens of the call."""
    rules: dict[str, Callable[[object], bool]] = {
        "service_tier": lambda tier: tier not in _CHEAP_TIERS,
        "modalities": lambda kinds: kinds != ["text"],
        "tools": lambda tools: not (isinstance(tools, list) and all(map(_is_clients, tools))),
    }
    if value is None or value is False:
        return False
    return name in UNBOUNDED or (name in rules and rules[name](value))


def _is_clients(tool: object) -> bool:
    return isinstance(tool, dict) and tool.get("type") in _CLIENTS_TOOLS


def _callers(tree: PolicyTree, snapshot: Snapshot) -> list[Key]:
    """One key for all that count in the same budgets: all of a project with the same models and
    environment, but for keys with limits of their own. None of a team of which not all is known."""
    found: dict[tuple[object, ...], Key] = {}
    unsure = {
        *(source.model.team for source in tree.teams if source.document.removed),
        *(source.model.team for source in tree.keys if source.document.removed),
    }
    for key in snapshot.keys.values():
        if key.team in unsure:
            continue
        own = key.id if key.limits.has_budget or key.model_limits else None
        found.setdefault((key.team, key.project, key.env, key.models, own), key)
    # Of a team that two files name, one is left, and it may lack the other's projects.
    return [key for key in found.values() if key.project in snapshot.teams[key.team].projects]


def _budgets_over(snapshot: Snapshot, alias: Alias, callers: Iterable[Key]) -> Iterator[Budget]:
    """Every spend limit that calls of a model count in, whoever makes them; those included that
    it answers for another one."""
    falling = [each for each in snapshot.aliases.values() if alias.name in each.fallbacks]
    scopes = [
        Scope("org", snapshot.org.name, snapshot.org.limits, None),
        Scope("alias", alias.name, alias.limits, None),
    ]
    for key in callers:
        if alias.name in key.models:
            scopes += snapshot.scopes(key, alias)
        if falling and may_fall_back(snapshot, key, alias):
            called = (each for each in falling if each.name in key.models)
            scopes += (scope for each in called for scope in snapshot.scopes(key, each))
    for scope in dict.fromkeys(scopes):
        for field in _spend_fields(scope.limits):
            yield Budget(field, _where(scope, alias), scope.limits.budget_mode == "hard")


def _spend_fields(limits: Limits) -> Iterator[str]:
    for period in ("daily", "weekly", "monthly"):
        if getattr(limits, f"{period}_spend_nanousd") is not None:
            yield f"{period}_spend_usd"


def _where(scope: Scope, alias: Alias) -> str:
    model = scope.name if scope.level == "alias" else scope.model
    if model and model != alias.name:
        other = f"the model '{model}', which falls back to it,"
        return other if scope.level == "alias" else f"the {scope.level} '{scope.name}' for {other}"
    if scope.level == "alias":
        return "the model itself"
    where = f"the {scope.level} '{scope.name}'"
    if scope.env:
        return f"the environment '{scope.env}' of {where}"
    return f"{where} for this model" if scope.model else where
