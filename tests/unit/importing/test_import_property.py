"""Whatever plausible config is given: what is written loads, or the import says why it does not."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.litellm import Result
from tollhouse.importing.litellm import import_litellm
from tollhouse.importing.writing import Block, document, inline
from tollhouse.keys import sha256_hex
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.documents import Document

MARK = "Zq7" * 8  # in every secret, and nowhere else
SECRET = st.sampled_from([f"sk-{MARK}", MARK, f"sk-ant-{MARK}-x", f"os.environ/{'A' * 3}"])

odd = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**13), st.text(max_size=8), st.just([]))
names = st.one_of(
    st.sampled_from(["gpt-4o", "gpt-4", "small", "team/large", "openai/*", "*", "a b", "1", "no"]),
    st.text(min_size=1, max_size=12),
)
models = st.sampled_from(
    [
        *("openai/gpt-4o", "gpt-4o-mini", "anthropic/claude-sonnet-4-5", "claude-3-opus", "o3"),
        *("azure/prod", "groq/llama", "mistral/mistral-small-latest", "hosted_vllm/x", "x/y"),
        *("openai/text-embedding-3-small", "dall-e-3", "bedrock/x", "openai/*", "ollama/phi4", ""),
    ]
)
addresses = st.sampled_from(
    [
        *("https://a.test/v1", "http://b.internal:8000/v1/", "https://acme.openai.azure.com/", ""),
        *("os.environ/BASE", "https://api.openai.com/v1", "not an address", "http://[::1]:80/v1"),
    ]
)
costs = st.one_of(st.floats(0, 1e-4), st.sampled_from(["15e-8", "1.5e-07", 0, None]), odd)
counts = st.one_of(st.integers(0, 10**6), odd)
words = st.lists(
    st.one_of(st.sampled_from(["general", "cheap", "beta models", "eu"]), names), max_size=3
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


params = maybe(
    model=models,
    api_key=SECRET,
    api_base=addresses,
    rpm=counts,
    tpm=counts,
    max_tokens=counts,
    timeout=st.one_of(st.floats(0.1, 4000), odd),
    temperature=st.one_of(st.floats(0, 2), odd),
    stop=st.one_of(odd, st.lists(st.text(max_size=4), max_size=2)),
    logit_bias=st.dictionaries(st.integers(0, 9), st.integers(-100, 100), max_size=2),
    service_tier=st.sampled_from(["auto", "priority"]),
    extra_headers=st.just({"authorization": f"Bearer {MARK}"}),
    input_cost_per_token=costs,
    output_cost_per_token=costs,
    cache_read_input_token_cost=costs,
    tags=words,
    order=counts,
)
info = maybe(
    mode=st.sampled_from(["chat", "embedding", "image_generation", ""]),
    base_model=st.sampled_from(["azure/gpt-4o", "gpt-4o-mini", "nonsense"]),
    access_groups=words,
    tags=words,
    max_input_tokens=counts,
    max_output_tokens=counts,
    description=st.text(max_size=20),
)
good_names = st.sampled_from(["gpt-4o", "gpt-4", "small", "team/large", "embed"])
good_params = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["openai/gpt-4o", "gpt-4o-mini", "groq/llama", "mistral/mistral-small"]
        )
    },
    optional={
        "api_key": SECRET,
        "rpm": st.integers(1, 10**6),
        "max_tokens": st.integers(1, 10**5),
        "temperature": st.floats(0, 2),
        "stop": st.lists(st.text(max_size=4), max_size=2),
        "logit_bias": st.dictionaries(st.integers(0, 9), st.integers(-100, 100), max_size=2),
        "input_cost_per_token": st.floats(0, 1e-4),
        "output_cost_per_token": st.floats(0, 1e-4),
        "tags": words,
    },
)
good_entries = st.fixed_dictionaries(
    {"model_name": good_names, "litellm_params": good_params},
    optional={"model_info": maybe(access_groups=words, description=st.text(max_size=20))},
)
odd_entries = st.fixed_dictionaries(
    {"model_name": names, "litellm_params": params}, optional={"model_info": info}
)
entries = st.one_of(good_entries, odd_entries)
configs = st.fixed_dictionaries(
    {"model_list": st.lists(entries, min_size=1, max_size=6)},
    optional={
        "litellm_settings": maybe(
            max_budget=counts,
            budget_duration=st.sampled_from(["30d", "1h"]),
            timezone=st.sampled_from(["UTC", "Europe/Berlin", "x"]),
            request_timeout=counts,
            fallbacks=st.lists(st.dictionaries(names, words, max_size=1), max_size=2),
            cache_params=st.just({"password": MARK}),
        ),
        "router_settings": maybe(
            model_group_alias=st.dictionaries(names, st.one_of(names, odd), max_size=2),
            timeout=counts,
        ),
        "general_settings": maybe(
            master_key=st.just(f"sk-{MARK}"), global_max_parallel_requests=counts
        ),
    },
)
limits = {
    "rpm_limit": counts,
    "tpm_limit": counts,
    "max_parallel_requests": counts,
    "max_budget": st.one_of(st.floats(0, 10**7), odd),
    "budget_duration": st.sampled_from(["1d", "7d", "30d", "1mo", "10d", None]),
    "model_rpm_limit": st.dictionaries(names, counts, max_size=2),
    "model_max_budget": st.dictionaries(
        names,
        st.fixed_dictionaries({"budget_limit": counts, "time_period": st.just("1d")}),
        max_size=1,
    ),
    "blocked": st.sampled_from([True, False, None]),
    "models": st.one_of(
        words,
        st.lists(good_names, max_size=2),
        st.sampled_from([[], ["all-team-models"], ["*"], None]),
    ),
    "metadata": st.dictionaries(
        st.text(max_size=6), st.one_of(odd, st.just(f"sk-{MARK}")), max_size=2
    ),
}
teams = st.sampled_from([None, "t-1", "T 1", "t/1"])
keys = st.fixed_dictionaries(
    {"token": st.one_of(st.integers(0, 9).map(lambda n: f"sk-{MARK}{n}"), st.just("f" * 64))},
    optional={
        "key_alias": st.one_of(st.text(max_size=10), st.just(f"sk-{MARK}")),
        "team_id": teams,
        "expires": st.sampled_from([None, "2030-01-01T00:00:00Z", "2020-01-01", "soon"]),
        **limits,
    },
)
rows = st.lists(
    st.fixed_dictionaries({"team_id": teams}, optional={"team_alias": names, **limits}), max_size=3
).map(lambda found: [row for row in found if row["team_id"]])


def run(config: dict[str, Any], export: dict[str, Any], directory: Path) -> Result:
    (directory / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), "utf-8")
    (directory / "keys.json").write_text(json.dumps(export))
    out = directory / "out"
    return Result(out, import_litellm(directory / "config.yaml", [directory / "keys.json"], out))


@settings(max_examples=60, deadline=None)
@given(configs, st.lists(keys, max_size=4, unique_by=lambda row: row["token"]), rows)
def test_what_is_written_loads_or_its_problems_are_placed(
    config: dict[str, Any], exported: list[dict[str, Any]], teams_: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        result = run(config, {"keys": exported, "teams": teams_}, Path(directory))
        assert MARK not in result.everything
        for problem in result.done.problems:
            _, _, place = problem.partition(f"{result.out}/")
            # Nothing but what only the author can decide: a price, a dearer tier, any model at all.
            assert re.match(r"[\w./-]+:\d+:\d+: .*(needs a price|hard budget|is empty)", place)
        if not result.done.problems:
            check_access(result, config, exported)


def check_access(result: Result, config: dict[str, Any], exported: list[dict[str, Any]]) -> None:
    """No key may call a model that its own list did not name, directly or by its group."""
    snapshot = load_snapshot(result.out)
    aliases = config.get("router_settings", {}).get("model_group_alias", {})
    for row in exported:
        token = row["token"]
        key = snapshot.keys_by_hash.get(sha256_hex(token) if token.startswith("sk-") else token)
        listed = set(row.get("models") or ["*"])
        if key is None or any("*" in one or one.startswith("all-") for one in listed):
            continue
        for alias in key.models:
            known = {alias, str(aliases.get(alias))}
            for entry in config["model_list"]:
                if entry["model_name"].strip() in known:
                    groups = entry.get("model_info", {}).get("access_groups", [])
                    known |= {group.strip() for group in groups}
            assert known & {one.strip() for one in listed}


# What is written


plain_values = st.recursive(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        st.integers(-(10**20), 10**20),
        st.booleans(),
        st.none(),
        st.decimals(
            allow_nan=False, allow_infinity=False, places=12, min_value=-(10**9), max_value=10**9
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6), plain_values, max_size=4
    ),
    st.text(),
)
def test_the_services_read_what_was_written(data: dict[str, Any], comment: str) -> None:
    comments = dict.fromkeys(data, comment)
    text = document(Block({"all": Block(data, comments)}, {"all": comment}), comment)
    read = Document("x.yaml", text).read()
    assert read.problems == []
    assert read.data == {"all": data}


@given(plain_values)
def test_a_value_stays_on_its_line(value: Any) -> None:
    assert "\n" not in inline(value)
