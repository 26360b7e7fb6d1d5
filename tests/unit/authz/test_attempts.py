"""What a grant tells Envoy of several deployments: attempt k goes to the k-th of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.protobuf.json_format import MessageToDict

from authz_service.stored import bind_of, tag_of
from authz_service.transport import Answers
from authz_service.verdicts import Granted, Stored
from tests.unit.authz.builders import key
from tests.unit.authz.company import company
from tollhouse import contract
from tollhouse.endpoints import CHAT, RESPONSE_BY_ID, RESPONSES
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.ordering import patience_of

BIND = bind_of(key("caller"))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return company(tmp_path_factory.mktemp("company") / "policies")


def granted(snapshot: Snapshot, alias: str = "chat", endpoint: str = CHAT) -> Granted:
    return Granted(snapshot.keys["caller"], snapshot.aliases[alias], endpoint)


def answered(snapshot: Snapshot, decision: Granted, *draws: float) -> CheckResponse:
    drawn: Iterator[float] = iter(draws)
    answers = Answers(snapshot, draw=lambda: next(drawn))
    return CheckResponse.FromString(answers.serialize(decision))


def told(snapshot: Snapshot, decision: Granted, *draws: float) -> dict[str, Any]:
    return MessageToDict(answered(snapshot, decision, *draws).dynamic_metadata)


def headers(response: CheckResponse) -> dict[str, str]:
    return {each.header.key: each.header.value for each in response.ok_response.headers}


def route(response: CheckResponse) -> str:
    return headers(response)[contract.PROVIDER_HEADER]


def test_attempts_are_in_the_order_of_asking_and_envoy_s_groups_in_the_same(
    snapshot: Snapshot,
) -> None:
    metadata = told(snapshot, granted(snapshot), 0.9)
    asked = [(each["provider"], each["model"]) for each in metadata["attempts"]]
    assert asked == [
        ("azure", "gpt-4o"),
        ("openai", "gpt-4o"),
        ("spare", "llama"),
        ("spare", "backup"),
        ("openai", "gpt-4o-mini"),
    ]
    groups = metadata["priority_groups"]
    assert len({group["name"] for group in groups}) == len(asked)
    # A provider that cools down is passed over, but never the last one.
    clusters = [f"provider.{provider}.pool" for provider, _ in asked[:-1]] + ["provider.openai"]
    assert [group["clusters"] for group in groups] == [
        [{"cluster_name": cluster, "weight": 1}] for cluster in clusters
    ]


def test_the_first_attempt_is_what_the_log_calls_the_provider(snapshot: Snapshot) -> None:
    first, other = told(snapshot, granted(snapshot), 0.0), told(snapshot, granted(snapshot), 0.9)
    assert (first["provider"], first["provider_model"]) == ("openai", "gpt-4o")
    assert (other["provider"], other["provider_model"]) == ("azure", "gpt-4o")


def test_each_call_is_drawn_anew_and_an_order_seen_before_is_told_again(
    snapshot: Snapshot,
) -> None:
    draws = iter([0.0, 0.9, 0.0])
    answers = Answers(snapshot, draw=lambda: next(draws))
    first, other, again = (answers.serialize(granted(snapshot)) for _ in range(3))
    assert first != other
    assert first == again


def test_the_tag_of_an_attempt_is_that_of_the_alias_whose_deployment_it_is(
    snapshot: Snapshot,
) -> None:
    tags = [each["deployment"] for each in told(snapshot, granted(snapshot), 0.0)["attempts"]]
    assert tags[0] == tag_of("chat", "openai", "gpt-4o")
    assert tags[3] == tag_of("backup", "spare", "backup")


def test_calls_with_several_attempts_take_the_route_of_their_patience(snapshot: Snapshot) -> None:
    response = answered(snapshot, granted(snapshot), 0.0)
    patience = patience_of(snapshot, snapshot.aliases["chat"])
    assert route(response) == patience.route
    assert route(response).startswith("*")
    milliseconds = MessageToDict(response.dynamic_metadata)["patience_ms"]
    assert milliseconds == 1000 * patience.first_byte


def test_envoy_tries_each_attempt_once_and_none_again(snapshot: Snapshot) -> None:
    response = answered(snapshot, granted(snapshot), 0.0)
    attempts = MessageToDict(response.dynamic_metadata)["attempts"]
    assert headers(response)[contract.MAX_RETRIES_HEADER] == str(len(attempts) - 1)


def test_calls_with_one_attempt_take_the_route_of_its_provider_although_there_is_a_fallback(
    tmp_path: Path,
) -> None:
    snapshot = company(tmp_path / "policies", fallback="forbidden")
    response = answered(snapshot, granted(snapshot, "hopeful"))
    assert headers(response) == {contract.PROVIDER_HEADER: "openai"}
    assert "priority_groups" not in MessageToDict(response.dynamic_metadata)


def test_a_stored_response_has_one_attempt_and_the_provider_s_own_id(snapshot: Snapshot) -> None:
    about = Stored("resp_1", "azure")
    for endpoint in (RESPONSES, RESPONSE_BY_ID):
        decision = replace(granted(snapshot, "chat", endpoint), bind=BIND, stored=about)
        response = answered(snapshot, decision)
        metadata = MessageToDict(response.dynamic_metadata)
        assert route(response) == "azure"
        assert [each["provider"] for each in metadata["attempts"]] == ["azure"]
        assert (metadata["stored_id"], metadata["bind"]) == ("resp_1", BIND)
        assert "priority_groups" not in metadata


def test_ids_are_bound_where_responses_are_made_and_nowhere_else(snapshot: Snapshot) -> None:
    bound = replace(granted(snapshot, "chat", RESPONSES), bind=BIND)
    assert told(snapshot, bound, 0.0)["bind"] == BIND
    assert "bind" not in told(snapshot, granted(snapshot), 0.0)


def test_grants_of_two_keys_of_one_alias_are_bound_apart(snapshot: Snapshot) -> None:
    answers = Answers(snapshot, draw=lambda: 0.0)
    decision = granted(snapshot, "chat", RESPONSES)
    binds = [
        MessageToDict(
            CheckResponse.FromString(
                answers.serialize(replace(decision, bind=bind))
            ).dynamic_metadata
        )["bind"]
        for bind in (BIND, "other", BIND)
    ]
    assert binds == [BIND, "other", BIND]


def test_answers_name_the_alias_unless_the_org_shows_the_provider_s_model(
    snapshot: Snapshot,
) -> None:
    showing = replace(snapshot, org=replace(snapshot.org, show_provider_model=True))
    assert told(snapshot, granted(snapshot), 0.0)["show_model"] == "chat"
    assert "show_model" not in told(showing, granted(showing), 0.0)
