"""The bound that is reserved: what the rewritten body allows, and never less than its text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from authz_service.transport import Answers
from authz_service.verdicts import Granted
from ratelimit_service.coverage import NotCovered, not_covered
from ratelimit_service.reservation import output_limit, worst_case
from ratelimit_service.size import RequestSize
from ratelimit_service.terms import terms_of
from tests.lua.modules import Modules
from tests.unit.ratelimit.builders import KEY_ID, size, snapshot_of
from tollhouse import endpoints
from tollhouse.money import Usage
from tollhouse.policy.compiled import Limits, Scope, Snapshot
from tollhouse.simulator.usage import prompt_tokens

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
OBEYED = {"max_tokens": {"max_tokens"}, "max_completion_tokens": set(CAPS[:2])}

limits = st.integers(1, 2**53) | st.integers(1, 200)
client_caps = st.none() | st.integers(1, 2**53) | st.integers(1, 200)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(tmp_path_factory.mktemp("policies"))


def narrowed(snapshot: Snapshot, limit: int | None, default: int, field: str) -> Snapshot:
    small = snapshot.aliases["small"]
    only = replace(small.first, max_tokens_field=field)  # type: ignore[arg-type]
    alias = replace(small, max_output_tokens=limit, deployments=(only,))
    org = replace(snapshot.org, default_max_output_tokens=default)
    return replace(snapshot, org=org, aliases={"small": alias})


def granted_rules(snapshot: Snapshot) -> dict[str, Any]:
    """The rules by which authz_service has the body rewritten."""
    granted = Granted(snapshot.keys[KEY_ID], snapshot.aliases["small"], endpoints.CHAT)
    response = CheckResponse.FromString(Answers(snapshot).serialize(granted))
    rules: dict[str, Any] = MessageToDict(response.dynamic_metadata)["attempts"][0]
    return rules


@given(
    caps=st.dictionaries(st.sampled_from(CAPS), client_caps),
    limit=st.none() | limits,
    default=limits,
    field=st.sampled_from(sorted(OBEYED)),
)
def test_the_output_limit_is_what_the_rewritten_body_allows(
    snapshot: Snapshot, caps: dict[str, int | None], limit: int | None, default: int, field: str
) -> None:
    policy = narrowed(snapshot, limit, default, field)
    body = json.dumps({"model": "small", **caps}).encode()
    facts = LUA.call("scan", "read", body, "chat/completions")
    sent = json.loads(LUA.call("splice", "rewrite", body, facts["spans"], granted_rules(policy)))
    written = {name: sent[name] for name in CAPS if sent.get(name) is not None}

    asked = None if facts.get("max_tokens") is None else int(facts["max_tokens"])
    assert output_limit(asked, terms_of(policy.aliases["small"], policy.org)) == max(
        written.values()
    )
    assert OBEYED[field] & set(written), "nothing caps the provider"


@given(texts=st.lists(st.text()), ascii_only=st.booleans())
def test_the_input_bound_is_never_less_than_the_bytes_of_the_texts(
    snapshot: Snapshot, texts: list[str], ascii_only: bool
) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    body = json.dumps({"model": "small", "messages": messages}, ensure_ascii=ascii_only)
    facts = LUA.call("scan", "read", body.encode(), "chat/completions")

    bound = worst_case(size(facts["text_bytes"]), terms_of(snapshot.aliases["small"], snapshot.org))

    assert bound.input_tokens >= sum(len(text.encode()) for text in texts)


def test_a_picture_counts_as_the_most_that_one_can_cost_however_many_bytes_it_has(
    snapshot: Snapshot,
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_999}}
    messages = [{"role": "user", "content": [picture]}]
    body = json.dumps({"model": "small", "messages": messages}).encode()
    facts = LUA.call("scan", "read", body, "chat/completions")
    read = size(facts["text_bytes"], media_parts=facts["media_parts"])

    bound = worst_case(read, terms_of(snapshot.aliases["small"], snapshot.org))

    media = facts["media_parts"] * 3_000
    assert facts["media_parts"] >= 1
    assert media < bound.input_tokens < media + 200


@pytest.mark.parametrize(
    ("asked", "n", "output_tokens"),
    [(None, 1, 1_000), (None, 3, 3_000), (7, 1, 7), (7, 3, 21), (0, 3, 0), (5_000, 2, 2_000)],
)
def test_every_choice_may_use_the_whole_output_limit(
    snapshot: Snapshot, asked: int | None, n: int, output_tokens: int
) -> None:
    alias = snapshot.aliases["small"]
    bound = worst_case(size(100, max_tokens=asked, n=n), terms_of(alias, snapshot.org))
    assert bound == Usage(100, output_tokens)


def test_without_a_limit_of_its_own_an_alias_is_bound_by_the_client_or_the_orgs_default(
    snapshot: Snapshot,
) -> None:
    policy = narrowed(snapshot, None, 4_096, "max_tokens")
    alias = policy.aliases["small"]
    assert output_limit(None, terms_of(alias, policy.org)) == 4_096
    assert output_limit(9_000, terms_of(alias, policy.org)) == 9_000


def test_embeddings_have_no_output(snapshot: Snapshot) -> None:
    asked = size(100, max_tokens=50, n=4, endpoint=endpoints.EMBEDDINGS)
    assert worst_case(asked, terms_of(snapshot.aliases["vectors"], snapshot.org)) == Usage(100, 0)


def test_nothing_of_the_input_is_taken_to_be_cached(snapshot: Snapshot) -> None:
    bound = worst_case(size(1_000), terms_of(snapshot.aliases["small"], snapshot.org))
    assert bound.cached_input_tokens == 0


def test_tools_add_what_a_provider_writes_about_them(snapshot: Snapshot) -> None:
    alias = replace(snapshot.aliases["small"], max_tokens_for_tools=700)
    with_tools = replace(size(100, max_tokens=5), tools=True)
    assert worst_case(with_tools, terms_of(alias, snapshot.org)) == Usage(800, 5)


def test_a_prediction_may_be_billed_as_output_beyond_the_cap(snapshot: Snapshot) -> None:
    predicted = replace(size(100, max_tokens=5, n=2), prediction=True)
    bound = worst_case(predicted, terms_of(snapshot.aliases["small"], snapshot.org))
    assert bound == Usage(100, 2 * (5 + 100))


def test_no_chat_can_read_more_than_the_context_window(snapshot: Snapshot) -> None:
    alias = replace(snapshot.aliases["small"], max_input_tokens=8_192)
    large = size(100, media_parts=9, max_tokens=5)
    assert worst_case(large, terms_of(alias, snapshot.org)) == Usage(8_192, 5)
    assert worst_case(size(100, max_tokens=5), terms_of(alias, snapshot.org)) == Usage(100, 5)


def test_the_context_window_bounds_each_text_of_an_embeddings_call_and_not_their_sum(
    snapshot: Snapshot,
) -> None:
    alias = replace(snapshot.aliases["vectors"], max_input_tokens=8_192)
    many = size(100_000, endpoint=endpoints.EMBEDDINGS)
    assert worst_case(many, terms_of(alias, snapshot.org)) == Usage(100_000, 0)


def test_what_the_policy_adds_to_a_body_counts_as_if_the_client_had_sent_it(
    snapshot: Snapshot,
) -> None:
    defaults = {"functions": '[{"name":"é"}]', "prediction": "{}"}
    alias = replace(snapshot.aliases["small"], defaults=defaults, max_tokens_for_tools=700)
    added = len(b',"functions":[{"name":"\xc3\xa9"}],"prediction":{}')
    bound = worst_case(size(100, max_tokens=5), terms_of(alias, snapshot.org))
    assert bound == Usage(100 + added + 700, 5 + 100 + added)


# Any body at all: what the simulated provider would bill is never more than the bound.

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
pictures = st.builds(
    lambda url: {"type": "image_url", "image_url": {"url": url}},
    st.sampled_from(["https://x/y.png", "data:image/png;base64,QUJD"]),
)
parts = st.builds(lambda text: {"type": "text", "text": text}, texts) | pictures
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system"]), "content": texts | st.lists(parts, max_size=4)}
)
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages, min_size=1, max_size=5)},
    optional={
        "n": st.none() | st.integers(1, 128),
        "tools": st.just([{"type": "function", "function": {"name": "f"}}]),
        **dict.fromkeys(CAPS, client_caps),
    },
)


@given(
    body=bodies,
    limit=st.none() | limits,
    default=limits,
    window=st.none() | st.integers(1, 200),
    field=st.sampled_from(sorted(OBEYED)),
    ascii_only=st.booleans(),
)
def test_no_body_is_billed_for_more_than_its_bound(
    snapshot: Snapshot,
    *,
    body: dict[str, Any],
    limit: int | None,
    default: int,
    window: int | None,
    field: str,
    ascii_only: bool,
) -> None:
    policy = narrowed(snapshot, limit, default, field)
    alias = replace(policy.aliases["small"], max_input_tokens=window)
    sent = json.dumps({"model": "small", **body}, ensure_ascii=ascii_only).encode()
    facts = LUA.call("scan", "read", sent, "chat/completions")
    asked = RequestSize(
        endpoints.CHAT,
        facts["text_bytes"],
        facts["media_parts"],
        None if facts.get("max_tokens") is None else int(facts["max_tokens"]),
        facts["n"],
        facts["tools"],
        facts["prediction"],
    )
    rewritten = LUA.call("splice", "rewrite", sent, facts["spans"], granted_rules(policy))
    billed = json.loads(rewritten)
    prompt = prompt_tokens(billed["messages"])
    if window is not None and prompt > window:
        return  # the provider refuses what its model cannot read
    caps = [billed[name] for name in OBEYED[field] if billed.get(name) is not None]

    bound = worst_case(asked, terms_of(alias, policy.org))

    assert prompt <= bound.input_tokens
    assert min(caps) * (billed.get("n") or 1) <= bound.output_tokens


# What no count of tokens bounds

HARD = Limits(monthly_spend_nanousd=10**9)
SOFT = replace(HARD, budget_mode="soft")
SEARCH = replace(size(), unbounded="web_search_options")


def test_a_parameter_without_a_bound_is_refused_under_a_hard_budget_only() -> None:
    def scopes(*limits: Limits) -> list[Scope]:
        levels = ("key", "team")
        return [Scope(level, "web", each, None) for level, each in zip(levels, limits, strict=True)]

    counted = Limits(requests_per_minute=1, tokens_per_day=1)
    assert not_covered(SEARCH, [], scopes(Limits(), counted)) is None
    assert not_covered(SEARCH, [], scopes(SOFT, SOFT)) is None
    assert not_covered(size(), [], scopes(HARD, HARD)) is None
    for hard in ("daily", "weekly", "monthly"):
        limit = Limits(**{f"{hard}_spend_nanousd": 0})
        found = not_covered(SEARCH, [], scopes(SOFT, limit))
        assert found == NotCovered("web_search_options", Scope("team", "web", limit, None))


@pytest.mark.parametrize(
    ("scope", "asks"),
    [
        (Scope("key", "web-1", HARD, "web-leads"), "key web-1 is a hard one. Leave the parameter"),
        (Scope("alias", "small", HARD, "acme-ops"), "model small is a hard one. Leave the param"),
        (Scope("key", "web-1", HARD, "web-leads"), "ask web-leads for a soft budget there"),
        (Scope("key", "web-1", HARD, None), "ask the gateway operator for a soft budget there"),
    ],
)
def test_a_refused_parameter_is_named_with_the_budget_and_what_to_do(
    scope: Scope, asks: str
) -> None:
    found = not_covered(SEARCH, [], [scope])
    assert found is not None
    assert found.message.startswith("`web_search_options` can cost more than the tokens")
    assert asks in found.message
