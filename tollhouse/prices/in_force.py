"""The prices in force of a policy, deployment by deployment. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tollhouse.money import Price
from tollhouse.policy.deployments import priced
from tollhouse.policy.places import Places
from tollhouse.policy.tree import PolicyTree


@dataclass(frozen=True, slots=True)
class InForce:
    """What one deployment of an alias costs. `at` is where the price is stated, file:line, None
    for one of the public list; `missing_because` says why there is none."""

    alias: str
    provider: str
    model: str
    price: Price | None
    at: str | None
    missing_because: str


def in_force(tree: PolicyTree) -> Iterator[InForce]:
    """By alias, in the order of models.yaml. Aliases that cannot be told are left out."""
    places = Places(tree)
    for alias, deployments in priced(tree).items():
        for index, (deployment, pricing) in enumerate(deployments):
            own = ("deployments", index, "price") if deployment.price else ("price",)
            yield InForce(
                alias,
                deployment.provider,
                deployment.model,
                pricing.price,
                places.model(alias, *own) if pricing.source == "policy" else None,
                pricing.missing_because,
            )
