"""The catalogue of models. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from console.actors import Actor
from console.pages.views import links, numbers
from console.shapes.models import ModelView
from tollhouse.money import usd_to_nano
from tollhouse.policy.compiled import Snapshot
from tollhouse.prices import rates as in_words
from tollhouse.prices.rates import Row

_SOURCES: Final = {
    "policy": "stated in the policy",
    "genai-prices": "public price list",
    None: "unknown",
}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """An alias with its prices in words, USD for a million tokens."""

    view: ModelView
    href: str
    input: str
    output: str
    cached: str
    source: str
    spent: int | None


@dataclass(frozen=True, slots=True)
class Caller:
    """How many keys of a project may call a model."""

    team: str
    project: str
    href: str
    keys: int


def rows(views: Iterable[ModelView], spent: Mapping[str, int] | None) -> list[ModelRow]:
    """In the order they come in."""
    return [row(view, None if spent is None else spent.get(view.alias, 0)) for view in views]


def row(view: ModelView, spent: int | None) -> ModelRow:
    """As the policy says it. Embeddings have no output, and nothing of them is cached."""
    price, talks = view.price_per_million, "chat/completions" in view.endpoints
    return ModelRow(
        view=view,
        href=links.model(view.alias),
        input=_price(price.input if price else None),
        output=_price(price.output if price and talks else None),
        cached=_price(price.cached_input if price and talks else None),
        source=_SOURCES[view.price_source],
        spent=spent,
    )


def _price(amount: Decimal | int | None) -> str:
    return numbers.NOTHING if amount is None else numbers.per_million(usd_to_nano(amount))


@dataclass(frozen=True, slots=True)
class Rates:
    """All that a deployment is charged, and where that is from."""

    name: str
    source: str
    rows: list[Row]


def rates(snapshot: Snapshot, alias: str) -> list[Rates]:
    """In the order of the file."""
    return [
        Rates(
            f"{each.provider}: {each.model}",
            _SOURCES[each.price_source],
            list(in_words.rows(each.price.to_labels())) if each.price else [],
        )
        for each in snapshot.aliases[alias].deployments
    ]


def callers(actor: Actor, snapshot: Snapshot, alias: str) -> list[Caller]:
    """The projects with keys that may call it, of those that the actor sees."""
    found = Counter(
        (key.team, key.project)
        for key in snapshot.keys.values()
        if alias in key.models and actor.sees(key.team)
    )
    return [
        Caller(team, project, links.project(team, project), count)
        for (team, project), count in sorted(found.items())
    ]
