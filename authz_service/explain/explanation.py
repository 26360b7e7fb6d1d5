"""Everything the policy says of one call, put together from the services' own parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from authz_service.asked import asked, own_path
from authz_service.decision import decide_for
from authz_service.explain.rules import Step, shadow_steps, steps
from authz_service.verdicts import Call, Decision, Refused
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Key, Org
from tollhouse.policy.limit_words import Stated, stated
from tollhouse.policy.opened import OpenedPolicy

EmptyCall = Callable[[Alias, Org], Usage]
"""What ratelimit_service reserves for a call of the alias that has no body."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit a call counts in. `scope` in words; `mode` of a spend limit: hard or soft."""

    scope: str
    stated: Stated
    mode: str | None
    at: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a call is decided so, and what it would count in. `at` places are file:line."""

    key: Key
    alias: Alias
    call: Call
    decision: Decision
    steps: tuple[Step, ...]
    shadow: tuple[Step, ...]
    limits: tuple[Limit, ...]
    expires_at: str | None
    alias_at: str
    price_at: str
    provider_at: str
    base_url: str
    reserves: Usage

    @property
    def reserves_nanousd(self) -> int | None:
        """The worst cost of `reserves`; None without a price."""
        return self.alias.price.most(self.reserves) if self.alias.price else None

    @property
    def allowed(self) -> bool:
        """Whether the policy lets the call pass."""
        return not isinstance(self.decision, Refused)


@dataclass(frozen=True, slots=True)
class Row:
    """One alias of a key's table: the decision, and the level that made it, if a level did."""

    alias: Alias
    decision: Decision
    steps: tuple[Step, ...]


def explain(  # noqa: PLR0913 - what a call is made of
    policy: OpenedPolicy,
    key: Key,
    alias: Alias,
    *,
    path: str | None,
    now: float,
    empty_call: EmptyCall,
) -> Explanation:
    """Explain one call; `path` None is the alias's own, `now` seconds since the epoch."""
    snapshot, places = policy.snapshot, policy.places
    call = asked(path or own_path(alias), alias.name)
    own = places.levels(key)[-1]
    return Explanation(
        key=key,
        alias=alias,
        call=call,
        decision=decide_for(snapshot, key, call, now),
        steps=steps(policy, key, alias.name),
        shadow=shadow_steps(policy, key, alias.name),
        limits=_limits(policy, key, alias),
        expires_at=own.at("expires", at_key=True) if key.expires_at is not None else None,
        alias_at=places.model(alias.name),
        price_at=places.model(alias.name, "price"),
        provider_at=places.provider(alias.first.provider),
        base_url=snapshot.providers[alias.first.provider].base_url,
        reserves=empty_call(alias, snapshot.org),
    )


def table(policy: OpenedPolicy, key: Key, *, path: str | None, now: float) -> list[Row]:
    """The decision on every alias, by name."""
    snapshot = policy.snapshot
    return [
        Row(
            alias,
            decide_for(snapshot, key, asked(path or own_path(alias), name), now),
            steps(policy, key, name),
        )
        for name, alias in sorted(snapshot.aliases.items())
    ]


def _limits(policy: OpenedPolicy, key: Key, alias: Alias) -> tuple[Limit, ...]:
    return tuple(
        Limit(
            scope.where,
            each,
            scope.limits.budget_mode if each.is_spend else None,
            policy.places.limit(key, scope, each.field),
        )
        for scope in policy.snapshot.scopes(key, alias)
        for each in stated(scope.limits)
    )
