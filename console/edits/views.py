"""Definitions as answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from console.edits import data, prices
from console.edits.policy import Policy, team_line
from console.shapes.keys import KeyView
from console.shapes.levels import EnvironmentView, ProjectView, TeamView
from console.shapes.limits import EffectiveLimit, Limits
from console.shapes.models import DeploymentView, ModelView, UnitPrices
from console.shapes.tokens import TokenView
from tollhouse.keyring import moments
from tollhouse.keyring.actions import BLOCKED_BY, REASON
from tollhouse.money import Price, nano_to_usd
from tollhouse.policy.compiled import Alias, Deployment, Key, Scope, Snapshot
from tollhouse.policy.deployments import stated as deployments_of
from tollhouse.policy.files import LimitsFile, RulesFile
from tollhouse.policy.lifetimes import state_of
from tollhouse.policy.limit_words import Stated, stated
from tollhouse.policy.model_files import PriceFile
from tollhouse.policy.team_files import AccessFile, KeyFile


def key_view(policy: Policy, key_id: str, now: float, warnings: Iterable[str] = ()) -> KeyView:
    """Raises KeyError."""
    entry, key = policy.keys[key_id], policy.snapshot.keys[key_id]
    return KeyView(
        id=key_id,
        team=entry.team,
        project=entry.project,
        env=key.env,
        state=state_of(key, now),
        blocked_at=key.blocked_at,
        blocked_reason=_text(key.metadata.get(REASON)),
        blocked_by=_text(key.metadata.get(BLOCKED_BY)),
        expires=_iso(key.expires_at),
        models=sorted(key.models),
        **_access(entry.key),
        effective_limits=effective_limits(policy.snapshot, key),
        metadata=_metadata(entry.key),
        previous=[moments.iso(until) for until in sorted(key.previous.values()) if until > now],
        where=f"{entry.document.file}:{entry.line}",
        etag=data.etag(data.of_key(entry.key)),
        warnings=list(warnings),
    )


def effective_limits(snapshot: Snapshot, key: Key) -> dict[str, EffectiveLimit]:
    """Of each kind the narrowest of all that hold for every call of the key."""
    narrowest: dict[str, tuple[Stated, Scope]] = {}
    for scope in _scopes(snapshot, key):
        for limit in stated(scope.limits):
            known = narrowest.get(limit.field)
            if known is None or limit.amount < known[0].amount:
                narrowest[limit.field] = (limit, scope)
    return {
        name: EffectiveLimit(
            limit=Decimal(limit.value), level=scope.level, name=scope.name, env=scope.env
        )
        for name, (limit, scope) in narrowest.items()
    }


def team_view(policy: Policy, team: str, warnings: Iterable[str] = ()) -> TeamView:
    """Raises KeyError."""
    source = policy.teams[team]
    return TeamView(
        team=team,
        owner=policy.snapshot.teams[team].owner,
        projects=sorted(source.model.projects),
        keys=policy.counts[team, None],
        where=f"{source.document.file}:{team_line(source.document)}",
        etag=data.etag(data.of_team(source.model)),
        warnings=list(warnings),
        **_level_fields(source.model, source.model.environments),
    )


def project_view(
    policy: Policy, team: str, project: str, warnings: Iterable[str] = ()
) -> ProjectView:
    """Raises KeyError."""
    source = policy.teams[team]
    file = source.model.projects[project]
    line = policy.line(source.document, ("projects", project))
    return ProjectView(
        team=team,
        project=project,
        keys=policy.counts[team, project],
        where=f"{source.document.file}:{line}",
        etag=data.etag(data.of_project(file)),
        warnings=list(warnings),
        **_level_fields(file, file.environments),
    )


def model_view(policy: Policy, alias: str, keys: int, warnings: Iterable[str] = ()) -> ModelView:
    """`keys`: how many may call it, of those that the asker sees. Raises KeyError."""
    models, compiled = policy.tree.models, policy.snapshot.aliases[alias]
    file = models.model.models[alias]
    written = data.of_model(file)
    return ModelView(
        alias=alias,
        provider=compiled.first.provider,
        model=compiled.first.model,
        deployments=[
            _deployment(each, own.price)
            for each, own in zip(compiled.deployments, deployments_of(file), strict=True)
        ],
        fallbacks=list(compiled.fallbacks),
        fallback_after_seconds=file.fallback_after_seconds,
        description=file.description,
        endpoints=sorted(compiled.endpoints),
        limits=_limits(file.limits),
        defaults=written.get("defaults", {}),
        max_output_tokens=file.max_output_tokens,
        max_tokens_per_media=file.max_tokens_per_media,
        max_tokens_for_tools=file.max_tokens_for_tools,
        max_input_tokens=file.max_input_tokens,
        price_per_million=_prices(compiled.price),
        price=prices.in_force(compiled.price),
        price_source=compiled.first.price_source,
        stated_price=prices.stated(file.price),
        tags=file.tags,
        groups=[
            name
            for name in sorted(models.model.groups)
            if alias in policy.selectors.select(f"group:{name}")
        ],
        keys=keys,
        where=f"{models.document.file}:{policy.line(models.document, ('models', alias))}",
        etag=data.etag(written),
        warnings=list(warnings),
    )


def _deployment(each: Deployment, own: PriceFile | None) -> DeploymentView:
    return DeploymentView(
        provider=each.provider,
        model=each.model,
        weight=each.weight,
        order=each.order,
        price_per_million=_prices(each.price),
        price=prices.in_force(each.price),
        price_source=each.price_source,
        stated_price=prices.stated(own),
    )


def token_view(
    policy: Policy, token_id: str, now: float, warnings: Iterable[str] = ()
) -> TokenView:
    """Raises KeyError."""
    index, file = policy.tokens[token_id]
    document, token = policy.management_document, policy.management.tokens[token_id]
    return TokenView(
        id=token_id,
        role=token.role,
        teams=None if token.teams is None else sorted(token.teams),
        expires=_iso(token.expires_at),
        is_expired=token.expires_at is not None and token.expires_at <= now,
        where=f"{document.file}:{policy.line(document, ('tokens', index))}",
        etag=data.etag(data.of_token(file)),
        warnings=list(warnings),
    )


def _level_fields(file: AccessFile, environments: Mapping[str, RulesFile]) -> dict[str, Any]:
    return {
        "blocked": file.blocked,
        "environments": {
            name: EnvironmentView(
                blocked=each.blocked,
                limits=_limits(each.limits),
                allowed_models=each.allowed_models,
                denied_models=each.denied_models,
            )
            for name, each in environments.items()
        },
        **_access(file),
    }


def _access(file: AccessFile) -> dict[str, Any]:
    return {
        "allowed_models": file.allowed_models,
        "denied_models": file.denied_models,
        "limits": _limits(file.limits),
        "model_limits": {alias: _limits(each) for alias, each in file.model_limits.items()},
    }


def _limits(limits: LimitsFile) -> Limits:
    return Limits(**limits.model_dump(exclude_unset=True))


def _metadata(key: KeyFile) -> dict[str, Any]:
    return {name: value for name, value in key.metadata.items() if name not in (REASON, BLOCKED_BY)}


def _scopes(snapshot: Snapshot, key: Key) -> list[Scope]:
    alias: Alias = next(iter(snapshot.aliases.values()))
    scopes = snapshot.scopes(key, alias)
    return [scope for scope in scopes if scope.level != "alias" and scope.model is None]


def _prices(price: Price | None) -> UnitPrices | None:
    if price is None:
        return None
    return UnitPrices(
        input=Decimal(nano_to_usd(price.input)),
        output=Decimal(nano_to_usd(price.output)),
        cached_input=Decimal(nano_to_usd(price.cached_input)),
    )


def _iso(moment: float | None) -> str | None:
    return None if moment is None else moments.iso(moment)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
