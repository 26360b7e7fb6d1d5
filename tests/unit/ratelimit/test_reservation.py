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

from authz_service.decision import Granted
from authz_service.transport import Answers
from ratelimit_service.reservation import output_limit, worst_case
from tests.lua.modules import Modules
from tests.unit.ratelimit.builders import KEY_ID, size, snapshot_of
from tollhouse import contract
from tollhouse.money import Usage
from tollhouse.policy.compiled import Snapshot

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

CAPS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
OBEYED = {"max_tokens": {"max_tokens"}, "max_completion_tokens": set(CAPS[:2])}

limits = st.integers(1, 2**53) | st.integers(1, 200)
client_caps = st.none() | st.integers(0, 2**53) | st.integers(0, 200)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(tmp_path_factory.mktemp("policies"))


def narrowed(snapshot: Snapshot, limit: int | None, default: int, field: str) -> Snapshot:
    alias = replace(
        snapshot.aliases["small"],
        max_output_tokens=limit,
        max_tokens_field=field,  # type: ignore[arg-type]
    )
    org = replace(snapshot.org, default_max_output_tokens=default)
    return replace(snapshot, org=org, aliases={"small": alias})


def granted_rules(snapshot: Snapshot) -> dict[str, Any]:
    """The rules by which authz_service has the body rewritten."""
    granted = Granted(snapshot.keys[KEY_ID], snapshot.aliases["small"])
    response = CheckResponse.FromString(Answers(snapshot).serialize(granted))
    rules: dict[str, Any] = MessageToDict(response.dynamic_metadata)["rewrite"]
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
    facts = LUA.call("scan", "chat_like", body)
    sent = json.loads(LUA.call("splice", "rewrite", body, facts["spans"], granted_rules(policy)))
    written = {name: sent[name] for name in CAPS if sent.get(name) is not None}

    asked = None if facts.get("max_tokens") is None else int(facts["max_tokens"])
    assert output_limit(asked, policy.aliases["small"], policy.org) == max(written.values())
    assert OBEYED[field] & set(written), "nothing caps the provider"


@given(texts=st.lists(st.text()), ascii_only=st.booleans())
def test_the_input_bound_is_never_less_than_the_bytes_of_the_texts(
    snapshot: Snapshot, texts: list[str], ascii_only: bool
) -> None:
    messages = [{"role": "user", "content": text} for text in texts]
    body = json.dumps({"model": "small", "messages": messages}, ensure_ascii=ascii_only)
    facts = LUA.call("scan", "chat_like", body.encode())

    bound = worst_case(size(facts["text_bytes"]), snapshot.aliases["small"], snapshot.org)

    assert bound.input_tokens >= sum(len(text.encode()) for text in texts)


def test_a_picture_counts_as_the_most_that_one_can_cost_however_many_bytes_it_has(
    snapshot: Snapshot,
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9_999}}
    messages = [{"role": "user", "content": [picture]}]
    body = json.dumps({"model": "small", "messages": messages}).encode()
    facts = LUA.call("scan", "chat_like", body)
    read = size(facts["text_bytes"], media_parts=facts["media_parts"])

    bound = worst_case(read, snapshot.aliases["small"], snapshot.org)

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
    bound = worst_case(size(100, max_tokens=asked, n=n), alias, snapshot.org)
    assert bound == Usage(100, output_tokens)


def test_without_a_limit_of_its_own_an_alias_is_bound_by_the_client_or_the_orgs_default(
    snapshot: Snapshot,
) -> None:
    policy = narrowed(snapshot, None, 4_096, "max_tokens")
    alias = policy.aliases["small"]
    assert output_limit(None, alias, policy.org) == 4_096
    assert output_limit(9_000, alias, policy.org) == 9_000


def test_embeddings_have_no_output(snapshot: Snapshot) -> None:
    asked = size(100, max_tokens=50, n=4, endpoint=contract.EMBEDDINGS)
    assert worst_case(asked, snapshot.aliases["vectors"], snapshot.org) == Usage(100, 0)


def test_nothing_of_the_input_is_taken_to_be_cached(snapshot: Snapshot) -> None:
    bound = worst_case(size(1_000), snapshot.aliases["small"], snapshot.org)
    assert bound.cached_input_tokens == 0
