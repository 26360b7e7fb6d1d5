"""A diff is empty if, and only if, nothing that a call can meet differs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from authz_service.asked import asked, own_path
from authz_service.decision import decide_for
from authz_service.diff.compare import compare
from authz_service.verdicts import Refused
from tollhouse.policy.compiled import Key, Limits, Snapshot
from tollhouse.policy.compiler import compile_tree
from tollhouse.policy.documents import Document
from tollhouse.policy.files import OrgFile
from tollhouse.policy.model_files import ModelsFile
from tollhouse.policy.provider_files import ProvidersFile
from tollhouse.policy.team_files import TeamFile
from tollhouse.policy.tree import PolicyTree, Source

Data = dict[str, Any]
MOMENTS = (0.0, 1_800_000_000.0, 1_900_000_000.0)
ENVS = ("prod", "staging")
SELECTORS = ("small", "large", "vectors", "tag:cheap", "group:chat", "*")

# Few values each, so that two policies are often alike in most of their parts.
selectors = st.lists(st.sampled_from(SELECTORS), max_size=2, unique=True)
limits = st.fixed_dictionaries(
    {},
    optional={
        "requests_per_minute": st.sampled_from([5, 6]),
        "monthly_spend_usd": st.sampled_from([10, 20]),
        "budget_mode": st.sampled_from(["hard", "soft"]),
    },
)
shadow = st.fixed_dictionaries({}, optional={"denied_models": selectors})
rules: Data = {
    "blocked": st.sampled_from([False, False, True]),
    "limits": limits,
    "allowed_models": selectors,
    "denied_models": selectors,
    "shadow": shadow,
}
environments = st.dictionaries(
    st.sampled_from(ENVS), st.fixed_dictionaries({}, optional=rules), max_size=1
)
access: Data = {
    **rules,
    "model_limits": st.dictionaries(st.sampled_from(SELECTORS[:3]), limits, max_size=1),
}
price = st.sampled_from(
    [{"input_per_million": 1, "output_per_million": number} for number in (2, 3)]
)


@st.composite
def a_key(draw: st.DrawFn, name: str) -> Data:
    stated = draw(st.fixed_dictionaries({}, optional=access))
    # A third is the one before: where one of two policies is mixed with the other, a key that is
    # its own predecessor would be refused.
    *versions, other = [f"{number}{name}".encode().hex().rjust(64, "0") for number in range(3)]
    sha256 = draw(st.sampled_from(versions))
    expiry = st.sampled_from([None, 1_850_000_000.0])
    previous = draw(st.sampled_from([[], [], [{"sha256": other, "valid_until": "2028-01-01"}]]))
    return {
        **stated,
        **{"id": name, "sha256": sha256, "env": draw(st.sampled_from(ENVS))},
        "expires": draw(expiry),
        "previous": previous,
    }


@st.composite
def a_project(draw: st.DrawFn, names: list[str]) -> Data:
    stated = draw(st.fixed_dictionaries({"environments": environments}, optional=access))
    return {**stated, "keys": [draw(a_key(name)) for name in names]}


@st.composite
def a_team(draw: st.DrawFn, name: str) -> Data:
    stated = draw(st.fixed_dictionaries({"environments": environments}, optional=access))
    stated.setdefault("allowed_models", ["*"])
    owner = draw(st.sampled_from([None, "ann"]))
    projects = {"one": draw(a_project([f"{name}-1", f"{name}-2"]))}
    if draw(st.booleans()):
        projects["two"] = draw(a_project([f"{name}-3"]))
    return {**stated, "team": name, "owner": owner, "projects": projects}


@st.composite
def a_model(draw: st.DrawFn, name: str, endpoint: str) -> Data:
    optional: Data = {
        "limits": limits,
        "max_output_tokens": st.sampled_from([100, 200]),
        "defaults": st.sampled_from([{"seed": "1"}, {"seed": "2"}]),
        "max_tokens_for_tools": st.sampled_from([1, 2]),
    }
    return {
        **draw(st.fixed_dictionaries({}, optional=optional)),
        "provider": draw(st.sampled_from(["openai", "other"])),
        "model": name,
        "endpoints": [endpoint],
        "price": draw(price),
        "tags": ["cheap"] if name != "large" else [],
        "description": draw(st.sampled_from([None, "words"])),
    }


@st.composite
def policy(draw: st.DrawFn) -> Data:
    chat, embeddings = "chat/completions", "embeddings"
    teams = [draw(a_team("web"))] + ([draw(a_team("ops"))] if draw(st.booleans()) else [])
    org = st.fixed_dictionaries(
        {"limits": limits},
        optional={
            "time_zone": st.sampled_from(["UTC", "Europe/Berlin"]),
            "on_store_outage": st.sampled_from(["deny", "allow"]),
            "default_max_output_tokens": st.sampled_from([10, 20]),
        },
    )
    env = {name: draw(st.fixed_dictionaries({}, optional=rules)) for name in ENVS}
    return {
        "org": {**draw(org), "org": "acme", "environments": env},
        "providers": {name: draw(a_provider(name)) for name in ("openai", "other")},
        "models": {
            name: draw(a_model(name, endpoint))
            for name, endpoint in (("small", chat), ("large", chat), ("vectors", embeddings))
        },
        "teams": teams,
    }


@st.composite
def a_provider(draw: st.DrawFn, name: str) -> Data:
    url = draw(st.sampled_from([f"https://{name}.test/v1", f"https://eu.{name}.test/v1"]))
    forwarded = draw(st.sampled_from([[], ["openai-beta"], ["openai-beta", "x-a"]]))
    fixed = draw(st.sampled_from([{}, {"x-title": "a"}, {"x-title": "b"}]))
    cooldown = draw(st.sampled_from([0, 10]))
    return {
        **{"dialect": "openai", "base_url": url, "api_key": "${KEY}", "headers": fixed},
        **{"forward_headers": forwarded, "cooldown_seconds": cooldown},
    }


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Data, Data]:
    """Two policies of which one is the other but for one value somewhere."""
    old, other = draw(policy()), draw(policy())
    places = list(differing(old, other))
    return old, edited(old, other, draw(st.sampled_from(places))) if places else old


def differing(old: Any, other: Any) -> Iterator[tuple[Any, ...]]:
    """Where the two differ, as deep as can be."""
    if isinstance(old, dict) and isinstance(other, dict):
        for name in sorted({*old, *other}):
            if name in old and name in other:
                yield from ((name, *path) for path in differing(old[name], other[name]))
            else:
                yield (name,)
    elif isinstance(old, list) and isinstance(other, list) and len(old) == len(other):
        for at, (one, two) in enumerate(zip(old, other, strict=True)):
            yield from ((at, *path) for path in differing(one, two))
    elif old != other:
        yield ()


def edited(old: Any, other: Any, path: tuple[Any, ...]) -> Any:
    """The old data with the value at a path as it is in the other, which may have none there."""
    if not path:
        return other
    first, *rest = path
    if isinstance(old, list):
        return [edited(x, y, tuple(rest)) if at == first else x
                for at, (x, y) in enumerate(zip(old, other, strict=True))]  # fmt: skip
    left = {name: value for name, value in old.items() if name != first}
    if first not in other:
        return left
    both = first in old
    value = edited(old[first], other[first], tuple(rest)) if both else other[first]
    return {**left, first: value}


def compiled(data: Data) -> Snapshot:
    def source(model: Any, content: Data) -> Source[Any]:
        return Source(model.model_validate(_typed(content)), Document("x"))

    models = {"models": data["models"], "groups": {"chat": ["small", "large"]}}
    teams = tuple(
        Source(TeamFile.model_validate(_typed(team)), Document(f"teams/{team['team']}.yaml"))
        for team in data["teams"]
    )
    return compile_tree(
        PolicyTree(
            directory="p",
            version="v",
            org=source(OrgFile, data["org"]),
            providers=source(ProvidersFile, {"providers": data["providers"]}),
            models=source(ModelsFile, models),
            teams=teams,
            keys=(),
        )
    )


def _typed(content: Any) -> Any:
    """Dates as YAML would have read them."""
    from datetime import UTC, date, datetime  # noqa: PLC0415

    if isinstance(content, dict):
        return {name: _typed(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_typed(value) for value in content]
    if isinstance(content, float):
        return datetime.fromtimestamp(content, UTC)
    return date(2028, 1, 1) if content == "2028-01-01" else content


def felt(snapshot: Snapshot) -> Data:
    """All that a call can meet, taken from the services' own answers."""
    return {
        "keys": {key.id: _key(snapshot, key) for key in snapshot.keys.values()},
        "providers": dict(snapshot.providers),
        # What an alias takes from its provider is felt there.
        "aliases": {
            name: replace(alias, description=None, tags=frozenset())
            for name, alias in snapshot.aliases.items()
        },
        "org": snapshot.org,
        "teams": {
            team.name: (team.owner, team.limits, _stated(team.env_limits))
            for team in snapshot.teams.values()
        },
        # Those of an environment in which a project has no key are for the next one.
        "projects": {
            (team.name, project.name): _stated(project.env_limits)
            for team in snapshot.teams.values()
            for project in team.projects.values()
        },
    }


def _key(snapshot: Snapshot, key: Key) -> Data:
    return {
        "home": (key.team, key.project, key.env),
        "secrets": (key.sha256, dict(key.previous), key.expires_at),
        "calls": {name: _calls(snapshot, key, name) for name in snapshot.aliases},
    }


def _calls(snapshot: Snapshot, key: Key, name: str) -> Data:
    alias = snapshot.aliases[name]
    call = asked(own_path(alias), name)
    decisions = [decide_for(snapshot, key, call, moment) for moment in MOMENTS]
    codes = [each.code if isinstance(each, Refused) else "allowed" for each in decisions]
    scopes = snapshot.scopes(key, alias)
    return {
        "codes": codes,
        "would_deny": codes[0] == "allowed" and key.would_deny(name) is not None,
        "limits": {
            (scope.level, scope.name, scope.model, scope.env): scope.limits
            for scope in scopes
            if scope.limits != Limits()
        },
    }


def _stated(limits: Any) -> Data:
    return {name: each for name, each in limits.items() if each != Limits()}


@settings(max_examples=300, deadline=None)
@given(pairs())
def test_a_diff_is_empty_exactly_if_nothing_that_a_call_meets_differs(pair: tuple[Data, Data]):
    old, new = (compiled(data) for data in pair)
    assert (compare(old, new) == []) == (felt(old) == felt(new))


@settings(max_examples=30, deadline=None)
@given(policy())
def test_a_policy_differs_from_itself_in_nothing(data: Data):
    assert compare(compiled(data), compiled(data)) == []
