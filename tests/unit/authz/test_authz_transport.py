"""authz_service.transport: Envoy's CheckRequest in, CheckResponse out, through real protobuf."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.protobuf.json_format import MessageToDict
from google.rpc.code_pb2 import OK, PERMISSION_DENIED

from authz_service.decision import decide
from authz_service.stored import tag_of
from authz_service.transport import Answers, call_from
from authz_service.verdicts import Call, Granted, Listed, Refused
from tests.unit.authz.builders import NOW, Sent, bearer, check_request, key, snapshot_of
from tollhouse import contract, endpoints
from tollhouse.decisions import CODES
from tollhouse.policy.compiled import Snapshot


def read(sent: Sent) -> Call:
    return call_from(check_request(sent))


def answer(snapshot: Snapshot, decision: Granted | Listed | Refused) -> CheckResponse:
    return CheckResponse.FromString(Answers(snapshot).serialize(decision))


def metadata(response: CheckResponse) -> dict[str, Any]:
    return MessageToDict(response.dynamic_metadata)


def headers(response: CheckResponse) -> dict[str, str]:
    added = [*response.ok_response.headers, *response.denied_response.headers]
    overwrite = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    assert all(option.append_action == overwrite for option in added)
    return {option.header.key: option.header.value for option in added}


def granted(snapshot: Snapshot, alias: str = "small", key_id: str = "app") -> Granted:
    endpoint = min(snapshot.aliases[alias].endpoints)
    return Granted(snapshot.keys[key_id], snapshot.aliases[alias], endpoint)


def test_a_request_is_read_as_the_call_it_is():
    assert read(Sent()) == Call(
        method="POST",
        path="/v1/chat/completions",
        api_key=key("app"),
        endpoint=endpoints.CHAT,
        model="small",
    )


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer abc"}, "abc"),
        ({"authorization": "BEARER   abc  "}, "abc"),
        ({"x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "other"}, "abc"),
        ({"authorization": "Basic dTpw", "x-api-key": "abc"}, "abc"),
        ({"authorization": "Basic dTpw"}, None),
        ({"authorization": "abc"}, None),
        ({"authorization": "Bearer "}, None),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_the_key_is_the_bearer_credential_or_else_x_api_key(
    sent: dict[str, str], read_as: str | None
):
    assert read(Sent(headers=sent)).api_key == read_as


def test_the_query_is_no_part_of_the_path():
    assert read(Sent(path="/v1/models?key=abc&model=small")).path == "/v1/models"


def test_an_endpoint_that_is_not_open_is_none():
    assert read(Sent(facts={"endpoint": "none"})).endpoint is None


def test_what_request_lua_found_wrong_is_read_with_its_message():
    found = {"endpoint": endpoints.CHAT, "error": "model_missing", "error_message": "Name one."}
    assert read(Sent(facts=found)).body_error == ("model_missing", "Name one.")


def test_a_call_without_metadata_is_refused_although_its_key_is_good(snapshot: Snapshot):
    decision = decide(snapshot, read(Sent(facts=None)), NOW)
    assert isinstance(decision, Refused)
    assert decision.code == "internal_error"


def test_metadata_that_says_neither_model_nor_error_is_an_internal_error(snapshot: Snapshot):
    decision = decide(snapshot, read(Sent(facts={"endpoint": endpoints.CHAT})), NOW)
    assert isinstance(decision, Refused)
    assert decision.code == "internal_error"
    response = answer(snapshot, decision)
    assert response.denied_response.status.code == 500


def test_a_grant_names_the_provider_and_takes_the_client_s_key_away(snapshot: Snapshot):
    response = answer(snapshot, granted(snapshot))
    assert response.status.code == OK
    assert headers(response) == {contract.PROVIDER_HEADER: "openai"}
    assert set(response.ok_response.headers_to_remove) == {"authorization", "x-api-key"}


def test_a_grant_carries_all_that_the_later_filters_and_the_log_need(snapshot: Snapshot):
    assert metadata(answer(snapshot, granted(snapshot))) == {
        "policy_version": snapshot.version,
        "key_id": "app",
        "team": "web",
        "project": "site",
        "env": "prod",
        "alias": "small",
        "provider": "openai",
        "provider_model": "gpt-4o-mini",
        "reason": "allowed",
        "show_model": "small",
        "attempts": [
            {
                "provider": "openai",
                "model": "gpt-4o-mini",
                "deployment": tag_of("small", "openai", "gpt-4o-mini"),
                "max_tokens_field": "max_completion_tokens",
                "stream_usage": "requested",
                "defaults": {"temperature": "0.2"},
                "max_output_tokens": 1000,
                "price": {
                    "input_per_million": "0.15",
                    "output_per_million": "0.6",
                    "cached_input_per_million": "0.15",
                },
            }
        ],
    }


def test_an_alias_without_a_maximum_gets_the_default_of_the_org(snapshot: Snapshot):
    [attempt] = metadata(answer(snapshot, granted(snapshot, "large")))["attempts"]
    assert attempt["default_max_output_tokens"] == snapshot.org.default_max_output_tokens
    assert "max_output_tokens" not in attempt


def test_an_unpriced_alias_has_no_price_and_a_key_without_env_no_env(snapshot: Snapshot):
    small = snapshot.aliases["small"]
    free = replace(small, deployments=(replace(small.first, price=None),))
    without = replace(snapshot, aliases={"small": free})
    told = metadata(answer(without, Granted(without.keys["narrow"], free, endpoints.CHAT)))
    assert "price" not in told["attempts"][0]
    assert "env" not in told


def test_a_grant_served_again_has_the_bytes_of_a_fresh_one(snapshot: Snapshot):
    answers = Answers(snapshot)
    pairs = [(k, a) for k in ("app", "narrow") for a in ("small", "large", "vectors")]
    first = [answers.serialize(granted(snapshot, alias, name)) for name, alias in pairs]
    again = [answers.serialize(granted(snapshot, alias, name)) for name, alias in pairs]
    assert first == again
    for (name, alias), cached in zip(pairs, again, strict=True):
        fresh = Answers(snapshot).serialize(granted(snapshot, alias, name))
        assert CheckResponse.FromString(cached) == CheckResponse.FromString(fresh)
        assert metadata(CheckResponse.FromString(cached))["key_id"] == name
        assert metadata(CheckResponse.FromString(cached))["alias"] == alias


def test_a_full_cache_still_answers_rightly(snapshot: Snapshot):
    answers = Answers(snapshot, cached_keys=1)
    for alias in ("small", "large", "small", "vectors", "large"):
        response = CheckResponse.FromString(answers.serialize(granted(snapshot, alias)))
        assert metadata(response)["alias"] == alias


def test_answers_of_a_new_snapshot_are_new(snapshot: Snapshot, tmp_path: Path):
    models = "models: {small: {provider: other, model: other-small, price: {input_per_million: 1, output_per_million: 2}}}\n"  # noqa: E501
    web = f"team: web\nprojects:\n  site:\n    allowed_models: [small]\n    keys: [{{id: app, sha256: {snapshot.keys['app'].sha256}}}]\n"  # noqa: E501
    edited = snapshot_of(tmp_path, models=models, teams__web=web)
    before, after = answer(snapshot, granted(snapshot)), answer(edited, granted(edited))
    assert headers(after)[contract.PROVIDER_HEADER] == "other"
    assert metadata(after)["provider_model"] == "other-small"
    assert metadata(after)["policy_version"] != metadata(before)["policy_version"]


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_refusal_has_the_status_and_body_of_its_code(snapshot: Snapshot, code: str):
    refusal = Refused(code, "Because.", param="model", key=snapshot.keys["app"], alias="small")
    response = answer(snapshot, refusal)
    assert response.status.code == PERMISSION_DENIED
    assert response.denied_response.status.code == CODES[code].status
    assert json.loads(response.denied_response.body) == {
        "error": {"message": "Because.", "type": CODES[code].type, "param": "model", "code": code}
    }
    assert headers(response) == {
        "content-type": "application/json",
        contract.DECISION_HEADER: code,
    }
    told = metadata(response)
    assert (told["key_id"], told["alias"], told["reason"]) == ("app", "small", "Because.")


def test_a_refused_stranger_leaves_no_name_behind(snapshot: Snapshot):
    told = metadata(answer(snapshot, Refused("invalid_api_key", "No key was sent.")))
    assert set(told) == {"policy_version", "reason"}


def test_models_are_listed_in_the_shape_of_openai_and_of_anthropic_at_once(snapshot: Snapshot):
    aliases = (snapshot.aliases["large"], snapshot.aliases["small"])
    response = answer(snapshot, Listed(snapshot.keys["app"], aliases, single=False))
    body = json.loads(response.denied_response.body)
    assert response.denied_response.status.code == 200
    assert headers(response)[contract.DECISION_HEADER] == "allowed"
    assert body["object"] == "list"
    assert [model["id"] for model in body["data"]] == ["large", "small"]
    assert body["data"][0] == {
        "id": "large",
        "object": "model",
        "created": 0,
        "owned_by": "tollhouse",
        "type": "model",
        "display_name": "large",
        "created_at": "1970-01-01T00:00:00Z",
    }
    assert (body["first_id"], body["last_id"], body["has_more"]) == ("large", "small", False)


def test_a_list_of_no_models_has_neither_first_nor_last(snapshot: Snapshot):
    response = answer(snapshot, Listed(snapshot.keys["nothing"], (), single=False))
    assert json.loads(response.denied_response.body) == {
        "object": "list",
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


def test_one_model_is_shown_without_a_list(snapshot: Snapshot):
    shown = Listed(snapshot.keys["app"], (snapshot.aliases["small"],), single=True)
    assert json.loads(answer(snapshot, shown).denied_response.body)["id"] == "small"


def test_no_answer_holds_the_key_or_its_hash(snapshot: Snapshot):
    app = snapshot.keys["app"]
    for sent in (
        Sent(),
        Sent(path="/v1/models", method="GET"),
        Sent(facts={"endpoint": endpoints.CHAT, "model": "gpt-9"}),
        Sent(headers={"authorization": bearer("blocked")}),
        Sent(path=f"/v1/models/{key('app')}", method="GET"),
    ):
        raw = Answers(snapshot).serialize(decide(snapshot, read(sent), NOW))
        assert key("app").encode() not in raw
        assert key("blocked").encode() not in raw
        assert app.sha256.encode() not in raw


def test_a_grant_notes_the_rule_in_shadow_that_would_refuse_it(snapshot: Snapshot):
    told = metadata(answer(snapshot, granted(snapshot, "large", "watched")))
    assert told["would_deny"] == "the key 'watched' would"
    assert "would_deny" not in metadata(answer(snapshot, granted(snapshot, "small", "watched")))


def test_a_grant_notes_that_it_came_with_a_replaced_key(snapshot: Snapshot):
    current, answers = granted(snapshot, "small", "rotated"), Answers(snapshot)
    served = map(answers.serialize, (current, replace(current, is_previous=True)))
    told = [metadata(CheckResponse.FromString(each)) for each in served]
    assert [each.get("credential") for each in told] == [None, "previous"]
