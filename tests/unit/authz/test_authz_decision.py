"""authz_service.decision: who may call what, and what everybody else is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.decision import decide
from authz_service.models import UNCHECKABLE
from authz_service.verdicts import Call, Decision, Granted, Listed, Refused
from tests.unit.authz.builders import KEY_IDS, NOW, key
from tollhouse import endpoints, keys
from tollhouse.decisions import CODES
from tollhouse.policy.compiled import Snapshot

CHAT = Call("POST", "/v1/chat/completions", key("app"), endpoints.CHAT, "small")
EMBEDDINGS = Call("POST", "/v1/embeddings", key("app"), endpoints.EMBEDDINGS, "vectors")
BAD_BODY = ("invalid_body", "The body must be one JSON object: it is not.")


def refused(snapshot: Snapshot, call: Call, code: str) -> Refused:
    decision = decide(snapshot, call, NOW)
    assert isinstance(decision, Refused)
    assert decision.code == code
    return decision


def test_a_known_key_may_call_an_alias_of_its_policy(snapshot: Snapshot):
    small = snapshot.aliases["small"]
    assert decide(snapshot, CHAT, NOW) == Granted(snapshot.keys["app"], small, endpoints.CHAT)
    assert isinstance(decide(snapshot, EMBEDDINGS, NOW), Granted)


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_call_without_a_key_is_told_how_to_send_one(snapshot: Snapshot, nothing: str | None):
    refusal = refused(snapshot, replace(CHAT, api_key=nothing), "invalid_api_key")
    assert "Authorization: Bearer" in refusal.message
    assert refusal.key is None


def test_a_management_token_is_told_what_it_is_for(snapshot: Snapshot):
    token = keys.generate(keys.MANAGEMENT_PREFIX)
    answer = refused(snapshot, replace(CHAT, api_key=token), "invalid_api_key")
    assert "it is for /manage" in answer.message
    assert token not in answer.message


def test_a_mistyped_key_is_told_apart_from_an_unknown_one(snapshot: Snapshot):
    mistyped = refused(snapshot, replace(CHAT, api_key=key("app")[:-1]), "invalid_api_key")
    unknown = refused(snapshot, replace(CHAT, api_key=keys.generate()), "invalid_api_key")
    foreign = refused(snapshot, replace(CHAT, api_key="sk-proj-abc"), "invalid_api_key")
    assert "checksum" in mistyped.message
    assert "not known here" in unknown.message
    assert "not known here" in foreign.message


@pytest.mark.parametrize(
    ("name", "level", "owner"),
    [("blocked", "key", "web-leads"), ("closed-in", "project", "the gateway's operator")],
)
def test_a_blocked_key_is_told_the_level_that_blocks_it_and_whom_to_ask(
    snapshot: Snapshot, name: str, level: str, owner: str
):
    refusal = refused(snapshot, replace(CHAT, api_key=key(name)), "key_blocked")
    assert refusal.message == f"Key {name} is blocked (at the {level}). Ask {owner}."
    assert refusal.key is snapshot.keys[name]


def test_a_demo_key_is_told_where_it_works(snapshot: Snapshot):
    demo = replace(snapshot.keys["app"], blocked_at="demo")
    known = replace(snapshot, keys_by_hash={demo.sha256: demo})
    assert "only 'tollhouse up' accepts" in refused(known, CHAT, "key_blocked").message


def test_a_key_is_good_until_its_last_moment_and_not_at_it(snapshot: Snapshot):
    call = replace(CHAT, api_key=key("expiring"))
    end = snapshot.keys["expiring"].expires_at
    assert end is not None
    assert isinstance(decide(snapshot, call, end - 0.001), Granted)
    after = decide(snapshot, call, end)
    assert isinstance(after, Refused)
    assert after.code == "key_expired"
    assert after.message == "Key expiring has expired. Ask web-leads for a new one."


@pytest.mark.parametrize(
    ("name", "alias", "told"),
    [
        ("narrow", "large", "it is not among the allowed_models of the key 'narrow'"),
        ("picky", "large", "the key 'picky' denies it"),
        ("app", "secret", "the team 'web' denies it"),
        ("nothing", "small", "no level of its policy has allowed_models"),
    ],
)
def test_a_forbidden_alias_is_refused_with_the_level_that_narrowed(
    snapshot: Snapshot, name: str, alias: str, told: str
):
    refusal = refused(snapshot, replace(CHAT, api_key=key(name), model=alias), "model_not_allowed")
    assert told in refusal.message
    assert (refusal.param, refusal.alias) == ("model", alias)


def test_the_project_is_named_when_it_is_the_project_that_narrows(snapshot: Snapshot):
    rule = replace(snapshot.keys["app"].rules[1], allowed=frozenset({"large"}))
    owner = replace(
        snapshot.keys["app"],
        models=frozenset({"large"}),
        rules=(snapshot.keys["app"].rules[0], rule, snapshot.keys["app"].rules[2]),
    )
    narrowed = replace(snapshot, keys_by_hash={owner.sha256: owner})
    told = refused(narrowed, CHAT, "model_not_allowed").message
    assert "not among the allowed_models of the project 'site'" in told


def test_an_alias_that_does_not_exist_is_not_found_and_is_no_label(snapshot: Snapshot):
    refusal = refused(snapshot, replace(CHAT, model="gpt-9"), "model_not_found")
    assert "There is no model 'gpt-9'" in refusal.message
    assert (refusal.param, refusal.alias) == ("model", None)


@pytest.mark.parametrize(
    "model", ["m" * 5000, "Summarise this: we are insolvent", "sk-proj-1234", "tlh_abcd", "…"]
)
def test_what_was_sent_as_the_model_and_looks_like_none_is_not_repeated(
    snapshot: Snapshot, model: str
):
    refusal = refused(snapshot, replace(CHAT, model=model), "model_not_found")
    assert refusal.message.startswith("There is no model of the name you sent on this gateway.")
    assert model not in refusal.message


def test_an_alias_is_refused_on_an_endpoint_that_it_does_not_serve(snapshot: Snapshot):
    refusal = refused(snapshot, replace(CHAT, model="vectors"), "endpoint_not_allowed")
    assert "does not serve /v1/chat/completions; it serves /v1/embeddings" in refusal.message
    assert (refusal.param, refusal.alias) == ("model", "vectors")


OPEN = ", ".join(
    [*(f"POST /v1/{name}" for name in sorted(endpoints.NAMING_A_MODEL)), "GET /v1/models"]
)


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v1/batches", "batches"),
        ("/v1/files/file-1", "files"),
        ("/v1/chat", None),
        ("/v1/chat/completions/chatcmpl-1", None),
        ("/v1/responses/resp_1/input_items", None),
        ("/v1/messages/batches", None),
        ("/v1/realtime", None),
    ],
)
def test_an_endpoint_whose_model_cannot_be_checked_is_not_open(
    snapshot: Snapshot, path: str, endpoint: str | None
):
    call = replace(CHAT, path=path, endpoint=endpoint, model=None)
    refusal = refused(snapshot, call, "endpoint_not_allowed")
    assert path in refusal.message
    assert refusal.message.endswith(f"Open endpoints: {OPEN}.")
    assert (refusal.param, refusal.alias) == (None, None)


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/v1/nonsense", None),
        ("GET", "/", None),
        ("GET", "/v2/files", None),
        ("GET", "/v1/chat/completions", endpoints.CHAT),
        ("PUT", "/v1/messages/count_tokens", endpoints.COUNT_TOKENS),
        ("POST", "/v1/responses/resp_1", endpoints.RESPONSE_BY_ID),
        ("POST", "/v1/models", None),
        ("DELETE", "/v1/models/small", None),
    ],
)
def test_what_does_not_exist_is_an_unknown_endpoint(
    snapshot: Snapshot, method: str, path: str, endpoint: str | None
):
    call = Call(method, path, key("app"), endpoint)
    assert f"{method} {path}" in refused(snapshot, call, "unknown_endpoint").message


@pytest.mark.parametrize(
    ("code", "param"),
    [("invalid_body", None), ("model_missing", "model"), ("ambiguous_body", None)],
)
def test_what_request_lua_found_wrong_is_passed_on(
    snapshot: Snapshot, code: str, param: str | None
):
    refusal = refused(snapshot, replace(CHAT, model=None, body_error=(code, "So it is.")), code)
    assert (refusal.message, refusal.param) == ("So it is.", param)


def test_a_call_that_request_lua_said_nothing_about_goes_nowhere(snapshot: Snapshot):
    refused(snapshot, replace(CHAT, model=None), "internal_error")


WRONG = {
    "key": {"api_key": "sk-unknown"},
    "endpoint": {"path": "/v1/files", "endpoint": "files"},
    "body": {"body_error": BAD_BODY},
    "alias": {"model": "gpt-9"},
}
FIRST = ["invalid_api_key", "endpoint_not_allowed", "invalid_body", "model_not_found"]


@pytest.mark.parametrize("first", range(4))
def test_the_questions_come_in_order_key_endpoint_body_alias(snapshot: Snapshot, first: int):
    call = CHAT
    for wrong in list(WRONG.values())[first:]:
        call = replace(call, **wrong)
    refused(snapshot, call, FIRST[first])


def test_a_blocked_key_is_refused_before_its_expiry_or_anything_else_is_looked_at(
    snapshot: Snapshot,
):
    both = replace(snapshot.keys["blocked"], expires_at=NOW - 1)
    known = replace(snapshot, keys_by_hash={both.sha256: both})
    call = replace(CHAT, api_key=key("blocked"), body_error=BAD_BODY, model="gpt-9")
    refused(known, call, "key_blocked")


def test_every_refusal_of_a_known_key_is_made_under_that_key(snapshot: Snapshot):
    for wrong in list(WRONG.values())[1:]:
        decision = decide(snapshot, replace(CHAT, **wrong), NOW)
        assert isinstance(decision, Refused)
        assert decision.key is snapshot.keys["app"]


@pytest.mark.parametrize("name", ["app", "narrow", "picky", "nothing"])
def test_the_list_of_models_is_exactly_what_the_key_may_call(snapshot: Snapshot, name: str):
    listed = decide(snapshot, Call("GET", "/v1/models", key(name)), NOW)
    assert isinstance(listed, Listed)
    assert [alias.name for alias in listed.aliases] == sorted(snapshot.keys[name].models)
    assert not listed.single


def test_one_model_is_shown_refused_or_not_found_as_a_call_to_it_would_be(snapshot: Snapshot):
    def of(model: str) -> Decision:
        return decide(snapshot, Call("GET", f"/v1/models/{model}", key("narrow")), NOW)

    narrow = snapshot.keys["narrow"]
    assert of("small") == Listed(narrow, (snapshot.aliases["small"],), single=True)
    assert getattr(of("large"), "code", None) == "model_not_allowed"
    assert getattr(of("gpt-9"), "code", None) == "model_not_found"


def test_models_are_listed_only_for_a_known_key(snapshot: Snapshot):
    refused(snapshot, Call("GET", "/v1/models", None), "invalid_api_key")
    refused(snapshot, Call("GET", "/v1/models", key("blocked")), "key_blocked")


ALIASES = ("small", "large", "vectors", "secret", "gpt-9", "", "models")
PATHS = ("/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/small", "/v1/files")
calls = st.builds(
    Call,
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.sampled_from(PATHS) | st.text(max_size=100).map(lambda text: "/" + text),
    api_key=st.sampled_from([key(name) for name in KEY_IDS]) | st.none() | st.text(max_size=50),
    endpoint=st.sampled_from([*sorted(endpoints.KNOWN), None]),
    model=st.sampled_from(ALIASES) | st.none() | st.text(max_size=300),
    body_error=st.none() | st.just(BAD_BODY),
)


@given(call=calls)
def test_only_an_alias_of_the_key_on_an_endpoint_that_it_serves_is_ever_granted(
    snapshot: Snapshot, call: Call
):
    decision = decide(snapshot, call, NOW)
    if isinstance(decision, Granted):
        assert decision.key.sha256 == keys.sha256_hex(call.api_key or "")
        assert decision.key.blocked_at is None
        assert decision.key.expires_at is None or decision.key.expires_at > NOW
        assert decision.alias.name == call.model
        assert decision.alias.name in decision.key.models
        assert decision.endpoint == call.endpoint
        assert endpoints.served_as(call.endpoint or "") in decision.alias.endpoints
        assert call.method == "POST"
        assert call.body_error is None


@given(call=calls)
def test_every_refusal_has_a_stable_code_and_a_message(snapshot: Snapshot, call: Call):
    decision = decide(snapshot, call, NOW)
    if isinstance(decision, Refused):
        assert decision.code in CODES
        assert decision.message


secrets = st.sampled_from([key(name) for name in KEY_IDS] + [keys.generate()])
places = st.sampled_from(["/v1/{}", "/v1/models/{}", "/v1/files/{}", "/{}", "/v1/embeddings"])


@given(call=calls, secret=secrets, place=places, in_model=st.booleans())
def test_no_message_holds_the_key_even_if_the_client_sent_it_as_path_or_model(
    snapshot: Snapshot, call: Call, secret: str, place: str, in_model: bool
):
    sent = replace(call, api_key=secret, path=place.format(secret))
    decision = decide(snapshot, replace(sent, model=secret) if in_model else sent, NOW)
    if isinstance(decision, Refused):
        assert secret not in decision.message


@pytest.mark.parametrize("name", ["models", "fallbacks"])
def test_a_parameter_that_names_other_models_is_refused_whoever_asks(
    snapshot: Snapshot, name: str
) -> None:
    refusal = refused(snapshot, replace(CHAT, unbounded=name), "parameter_not_allowed")
    assert refusal.param == name
    assert refusal.message.startswith(f"`{name}` names other models, which your key's policy")


def test_a_parameter_that_only_costs_more_is_no_matter_of_the_key(snapshot: Snapshot) -> None:
    assert isinstance(decide(snapshot, replace(CHAT, unbounded="plugins"), NOW), Granted)


def test_a_replaced_key_is_its_successor_until_its_moment_and_not_at_it(snapshot: Snapshot):
    call, rotated = replace(CHAT, api_key=key("old")), snapshot.keys["rotated"]
    end = rotated.previous[keys.sha256_hex(key("old"))]
    granted = Granted(rotated, snapshot.aliases["small"], endpoints.CHAT, is_previous=True)
    assert decide(snapshot, call, end - 0.001) == granted
    ended = decide(snapshot, call, end)
    assert isinstance(ended, Refused)
    assert (ended.code, ended.key) == ("key_expired", rotated)
    assert "key rotated before it was rotated" in ended.message
    assert "web-leads has it" in ended.message


def test_a_replaced_key_changes_nothing_for_its_successor(snapshot: Snapshot):
    call = replace(CHAT, api_key=key("rotated"))
    assert decide(snapshot, call, NOW) == Granted(
        snapshot.keys["rotated"], snapshot.aliases["small"], endpoints.CHAT
    )
    refused(snapshot, replace(CHAT, api_key=key("older")), "key_expired")


def test_a_rule_in_shadow_lets_the_call_pass(snapshot: Snapshot):
    call = replace(CHAT, api_key=key("watched"), model="large")
    assert isinstance(decide(snapshot, call, NOW), Granted)


@pytest.mark.parametrize("name", sorted(UNCHECKABLE))
def test_what_names_other_models_or_what_others_keep_is_refused_under_any_budget(
    snapshot: Snapshot, name: str
) -> None:
    told = refused(snapshot, replace(CHAT, unbounded=name), "parameter_not_allowed")
    assert told.param == name
    assert told.message.startswith(f"`{name}` names ")
