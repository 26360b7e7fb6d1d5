"""Keys as pages show them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from console.actors import Actor
from console.edits.narrowing import Bound, grants
from console.pages.views import links, numbers
from console.permissions import may
from console.reads.live import LiveScope
from console.shapes.keys import KeyView
from tollhouse.policy.compiled import Alias, Limits, Snapshot
from tollhouse.policy.limit_words import stated


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model that may be chosen, with what it costs."""

    alias: str
    description: str | None
    price: str


@dataclass(frozen=True, slots=True)
class Home:
    """A project that a key can be made in."""

    value: str
    team: str
    project: str


@dataclass(frozen=True, slots=True)
class KeyPlace:
    """A line of the list of keys."""

    view: KeyView
    href: str
    ends: str
    spent: int | None


def choices(snapshot: Snapshot, bounds: Iterable[Bound]) -> list[ModelChoice]:
    """What the levels above let pass; all models where none of them says any."""
    above = list(bounds)
    allowed = [
        alias
        for name, alias in sorted(snapshot.aliases.items())
        if all(bound.rule.permits(name) for bound in above)
    ]
    return [ModelChoice(each.name, each.description, price_words(each)) for each in allowed]


def is_granted(bounds: Iterable[Bound]) -> bool:
    """Whether a level above says what is allowed; else a key without a list may call nothing."""
    return grants(bounds)


def price_words(alias: Alias) -> str:
    """Of a million tokens."""
    if alias.price is None:
        return "price unknown"
    price = alias.price
    if "chat/completions" not in alias.endpoints:
        return f"{numbers.per_million(price.input)} in"
    return f"{numbers.per_million(price.input)} in · {numbers.per_million(price.output)} out"


def limit_words(limits: Limits) -> str:
    """ "60 requests a minute, 500 USD a month"."""
    return ", ".join(each.words for each in stated(limits))


def homes(actor: Actor, snapshot: Snapshot) -> list[Home]:
    """The projects in which the actor may make keys."""
    return [
        Home(f"{team}/{project}", team, project)
        for team in sorted(snapshot.teams)
        if may(actor, "key.write", team)
        for project in sorted(snapshot.teams[team].projects)
    ]


def places(views: Iterable[KeyView], now: float, spent: Mapping[str, int] | None) -> list[KeyPlace]:
    """In the order they come in."""
    return [
        KeyPlace(
            view=view,
            href=links.key(view.id),
            ends=ends_words(view.expires, now),
            spent=None if spent is None else spent.get(view.id, 0),
        )
        for view in views
    ]


def ends_words(expires: str | None, now: float) -> str:
    """ "never", "in 3 d"."""
    if expires is None:
        return "never"
    return numbers.until(datetime.fromisoformat(expires).timestamp(), now)


def scope_link(view: KeyView) -> Callable[[LiveScope], str | None]:
    """Where the levels above a key are shown."""
    targets = {
        "project": links.project(view.team, view.project),
        "team": links.team(view.team),
    }
    return lambda scope: targets.get(scope.level)


def snippets(endpoint: str, api_key: str, model: str | None) -> tuple[str, str]:
    """How the key is used: with curl, and with OpenAI's SDK for Python."""
    alias = model or "MODEL"
    curl = (
        f"curl {endpoint}/v1/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {api_key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"model": "{alias}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
    )
    python = (
        "from openai import OpenAI\n\n"
        f'client = OpenAI(base_url="{endpoint}/v1", api_key="{api_key}")\n'
        "answer = client.chat.completions.create(\n"
        f'    model="{alias}",\n'
        '    messages=[{"role": "user", "content": "Hello"}],\n'
        ")\n"
        "print(answer.choices[0].message.content)"
    )
    return curl, python
