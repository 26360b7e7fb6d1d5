"""What stands behind each alias: deployments with their prices, and fallbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from tollhouse.endpoints import (
    UNCHECKED,
    Endpoint,
    default_endpoints,
    dialect_of,
    served_as,
)
from tollhouse.policy.compiled import Deployment
from tollhouse.policy.documents import Path
from tollhouse.policy.model_files import DeploymentFile, ModelFile
from tollhouse.policy.pricing import Pricing, pricing_of
from tollhouse.policy.problems import PolicyProblem, suggestion
from tollhouse.policy.provider_files import ProviderFile
from tollhouse.policy.tree import PolicyTree

_MODELS, _PROVIDERS = ("models",), ("providers",)
_UNNAMED = "-"
"""In place of a provider's model, where none is named: calls of unchecked endpoints."""

Priced = tuple[DeploymentFile, Pricing]


def stated(file: ModelFile) -> list[DeploymentFile]:
    """Its deployments, the short form (`provider`, `model`) as one; none where neither is whole."""
    if file.deployments is not None:
        return list(file.deployments)
    model = file.model or (_UNNAMED if is_unchecked(file) else None)
    if file.provider is None or model is None:
        return []
    return [DeploymentFile.model_construct(provider=file.provider, model=model)]


def endpoints_of(file: ModelFile, providers: Mapping[str, ProviderFile]) -> frozenset[Endpoint]:
    """What the alias serves."""
    if file.endpoints is not None:
        return frozenset(file.endpoints)
    dialects = {providers[each.provider].dialect for each in stated(file)}
    return frozenset(endpoint for dialect in dialects for endpoint in default_endpoints(dialect))


def priced(tree: PolicyTree) -> dict[str, list[Priced]]:
    """By alias, the deployments of those that can be told with their providers."""
    now, providers = datetime.now(UTC), tree.providers.model.providers
    return {
        name: [
            (each, pricing_of(each.provider, providers[each.provider], single, now))
            for each in stated(file)
            for single in [_single(file, each, providers)]
        ]
        for name, file in tree.models.model.models.items()
        if _is_known(tree, name, file)
    }


def _single(
    file: ModelFile, each: DeploymentFile, providers: Mapping[str, ProviderFile]
) -> ModelFile:
    """The alias as if this deployment alone stood behind it."""
    told = {"provider": each.provider, "model": each.model, "price": each.price or file.price}
    endpoints = sorted(endpoints_of(file, providers))
    return file.model_copy(update={**told, "endpoints": endpoints})


def _is_known(tree: PolicyTree, name: str, file: ModelFile) -> bool:
    providers, deployments = tree.providers.model.providers, stated(file)
    return (
        bool(deployments)
        and tree.models.document.is_whole((*_MODELS, name))
        and all(
            each.provider in providers
            and tree.providers.document.is_whole((*_PROVIDERS, each.provider))
            for each in deployments
        )
    )


def compiled(
    deployments: list[Priced], providers: Mapping[str, ProviderFile]
) -> tuple[Deployment, ...]:
    """In the order of the file."""
    return tuple(
        Deployment(
            provider=each.provider,
            model=each.model,
            dialect=providers[each.provider].dialect,
            max_tokens_field=providers[each.provider].max_tokens_field,
            stream_usage=providers[each.provider].stream_usage,
            price=pricing.price,
            price_source=pricing.source,
            weight=each.weight,
            order=each.order,
        )
        for each, pricing in deployments
    )


def problems_of(tree: PolicyTree) -> Iterator[PolicyProblem]:
    """What single fields cannot say: what is missing, unknown, or does not fit together."""
    for name, file in tree.models.model.models.items():
        path = (*_MODELS, name)
        if tree.models.document.is_whole(path):
            yield from _form(tree, path, file)
            yield from _fallbacks(tree, path, file)
        yield from _providers(tree, path, file)
        if _is_known(tree, name, file):
            yield from _served(tree, path, file)


def _form(tree: PolicyTree, path: Path, file: ModelFile) -> Iterator[PolicyProblem]:
    problem = tree.models.problem
    if file.deployments is None:
        if file.provider is None:
            yield problem(path, "the field 'provider' is missing")
        if file.model is None and not is_unchecked(file):
            yield problem(path, "the field 'model' is missing")
    else:
        for field in ("provider", "model"):
            if getattr(file, field) is not None:
                message = f"'{field}' is for one deployment: write it under 'deployments', or alone"
                yield problem((*path, field), message)


def is_unchecked(file: ModelFile) -> bool:
    """Whether it stands for endpoints whose model nothing in a call tells."""
    return any(endpoint in UNCHECKED for endpoint in file.endpoints or ())


def _providers(tree: PolicyTree, path: Path, file: ModelFile) -> Iterator[PolicyProblem]:
    document = tree.providers.document
    known = {*tree.providers.model.providers, *document.lost(_PROVIDERS)}
    if "providers" in tree.broken or _PROVIDERS in document.removed:
        return
    named: list[tuple[Path, str]] = [
        ((*path, "deployments", index, "provider"), each.provider)
        for index, each in enumerate(file.deployments or ())
    ]
    if file.provider is not None:
        named.append(((*path, "provider"), file.provider))
    for place, provider in named:
        if provider not in known:
            message = f"unknown provider '{provider}'{suggestion(provider, known)}"
            yield tree.models.problem(place, message)


def _fallbacks(tree: PolicyTree, path: Path, file: ModelFile) -> Iterator[PolicyProblem]:
    models = tree.models.model.models
    known = {*models, *tree.models.document.lost(_MODELS)}
    for index, name in enumerate(file.fallbacks):
        place = (*path, "fallbacks", index)
        if name == path[-1] or name in file.fallbacks[:index]:
            yield tree.models.problem(place, f"'{name}' is asked before: remove it here")
        elif name not in known:
            message = f"unknown model '{name}'{suggestion(name, known)}"
            yield tree.models.problem(place, message)


def _served(tree: PolicyTree, path: Path, file: ModelFile) -> Iterator[PolicyProblem]:
    providers = tree.providers.model.providers
    endpoints = endpoints_of(file, providers)
    dialects = [providers[each.provider].dialect for each in stated(file)]
    for endpoint in sorted(endpoints):
        if dialect_of(endpoint) not in dialects:
            message = (
                f"nothing behind '{path[-1]}' serves {endpoint}: it needs a provider of dialect "
                f"{dialect_of(endpoint)}"
            )
            yield tree.models.problem(path, message, at_key=True)
    for index, dialect in enumerate(dialects):
        if not any(dialect_of(served_as(endpoint)) == dialect for endpoint in endpoints):
            place = (*path, "deployments", index) if file.deployments else (*path, "provider")
            names = ", ".join(sorted(endpoints))
            message = f"a provider of dialect {dialect} serves none of {names}"
            yield tree.models.problem(place, message)
    yield from _unchecked(tree, path, endpoints, len(dialects))


def _unchecked(
    tree: PolicyTree, path: Path, endpoints: frozenset[Endpoint], deployments: int
) -> Iterator[PolicyProblem]:
    """An upload lives at one provider, and nothing in a call of these says which model runs."""
    unchecked = endpoints & UNCHECKED
    if unchecked and unchecked != endpoints:
        message = (
            f"{', '.join(sorted(unchecked))} cannot be checked for a model: give them a name of "
            "their own, without other endpoints"
        )
        yield tree.models.problem((*path, "endpoints"), message)
    elif unchecked and deployments > 1:
        message = "what is stored lives at one provider: name one for these endpoints"
        yield tree.models.problem((*path, "deployments"), message)
