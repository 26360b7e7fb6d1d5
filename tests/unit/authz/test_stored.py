"""authz_service.stored: an id of a stored response is of use to the key whose call made it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authz_service.decision import decide
from authz_service.stored import bind_of, find, shown_id, tag_of
from authz_service.verdicts import Call, Granted, Refused, Stored
from tests.unit.authz.builders import NOW, key
from tests.unit.authz.company import company
from tollhouse.endpoints import RESPONSE_BY_ID, RESPONSES
from tollhouse.policy.compiled import Snapshot

RAW = "resp_67ccd3a9da748190baa7f1570fe91ac6"
TAG = tag_of("chat", "openai", "gpt-4o")
ALIVE = "      - {provider: openai, model: gpt-4o, weight: 3}\n"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return company(tmp_path_factory.mktemp("company") / "policies")


def shown_to(name: str, raw: str = RAW, tag: str = TAG) -> str:
    return shown_id(raw, tag, bind_of(key(name)))


def fetch(snapshot: Snapshot, response_id: str, name: str = "caller") -> Granted | Refused:
    call = Call("GET", "/v1/responses/…", key(name), RESPONSE_BY_ID, None, response_id=response_id)
    decision = decide(snapshot, call, NOW)
    assert isinstance(decision, Granted | Refused)
    return decision


def go_on(snapshot: Snapshot, response_id: str, model: str = "chat") -> Granted | Refused:
    call = Call("POST", "/v1/responses", key("caller"), RESPONSES, model, response_id=response_id)
    decision = decide(snapshot, call, NOW)
    assert isinstance(decision, Granted | Refused)
    return decision


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_the_key_that_made_a_response_may_read_and_delete_it(
    snapshot: Snapshot, method: str
) -> None:
    call = Call(
        method, "/v1/responses/…", key("caller"), RESPONSE_BY_ID, response_id=shown_to("caller")
    )
    assert decide(snapshot, call, NOW) == Granted(
        snapshot.keys["caller"],
        snapshot.aliases["chat"],
        RESPONSE_BY_ID,
        bind=bind_of(key("caller")),
        stored=Stored(RAW, "openai"),
    )


def test_the_key_that_made_a_response_may_go_on_from_it(snapshot: Snapshot) -> None:
    granted = go_on(snapshot, shown_to("caller"))
    assert isinstance(granted, Granted)
    assert granted.stored == Stored(RAW, "openai")
    assert granted.bind == bind_of(key("caller"))


_WRONG = {
    "of another key": shown_to("other"),
    "as the provider names it": RAW,
    "with another deployment": shown_to("caller").replace(TAG, tag_of("chat", "azure", "gpt-4o")),
    "with another id": shown_to("caller").replace(RAW, RAW + "0"),
    "with another code": shown_to("caller")[:-1] + ("0" if shown_to("caller")[-1] != "0" else "1"),
    "without its code": shown_to("caller").rpartition(".")[0],
    "with a shorter code": shown_to("caller")[:-1],
    "of a model that the key may not call": shown_to(
        "caller", tag=tag_of("forbidden", "spare", "forbidden")
    ),
    "of a model that serves no responses": shown_to("caller", tag=tag_of("free", "spare", "free")),
    "of nothing that is there": shown_to("caller", tag=tag_of("gone", "openai", "gpt-4o")),
    "empty": "",
}


@pytest.mark.parametrize("wrong", _WRONG)
def test_any_other_id_is_not_found_whatever_it_is_asked_for(snapshot: Snapshot, wrong: str) -> None:
    read, continued = fetch(snapshot, _WRONG[wrong]), go_on(snapshot, _WRONG[wrong])
    assert isinstance(read, Refused)
    assert isinstance(continued, Refused)
    assert (read.code, read.param) == ("response_not_found", "response_id")
    assert (continued.code, continued.param) == ("response_not_found", "previous_response_id")
    assert read.message == continued.message
    assert read.message.startswith("There is no such stored response for this key.")
    assert (read.alias, continued.alias) == (None, "chat")


def test_a_response_whose_deployment_is_gone_is_not_found(tmp_path: Path) -> None:
    without = company(tmp_path / "policies", without=ALIVE)
    assert getattr(fetch(without, shown_to("caller")), "code", None) == "response_not_found"
    still = shown_to("caller", tag=tag_of("chat", "azure", "gpt-4o"))
    assert isinstance(fetch(without, still), Granted)


def test_a_model_of_the_same_provider_may_go_on_and_one_of_another_is_told_who_can(
    snapshot: Snapshot,
) -> None:
    made_by_keeper = shown_to("caller", tag=tag_of("keeper", "azure", "second"))
    granted = go_on(snapshot, made_by_keeper)
    assert isinstance(granted, Granted)
    assert granted.stored == Stored(RAW, "azure")
    refused = go_on(snapshot, made_by_keeper, "elsewhere")
    assert isinstance(refused, Refused)
    assert (refused.code, refused.param) == ("response_not_found", "previous_response_id")
    assert "made by keeper, and elsewhere cannot read it. Call keeper" in refused.message


def test_no_message_holds_the_id_that_was_sent(snapshot: Snapshot) -> None:
    for wrong in filter(None, _WRONG.values()):
        refused = fetch(snapshot, wrong)
        assert isinstance(refused, Refused)
        assert wrong not in refused.message


raws = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60)


@given(raw=raws)
def test_what_is_shown_is_found_again_whatever_the_provider_calls_it(
    snapshot: Snapshot, raw: str
) -> None:
    bind = bind_of(key("caller"))
    found = find(shown_id(raw, TAG, bind), bind, snapshot.aliases.values())
    assert found is not None
    assert (found[0].name, found[1].model, found[2]) == ("chat", "gpt-4o", Stored(raw, "openai"))


near = st.sampled_from([*filter(None, _WRONG.values())])
dotted = st.lists(st.text(max_size=40), max_size=5).map(".".join)
guesses = st.builds(
    "{}.{}.{}".format, raws, st.just(TAG), st.text("0123456789abcdef", min_size=32, max_size=32)
)


@given(text=st.one_of(st.text(), dotted, near, guesses))
def test_no_text_is_accepted_that_was_not_shown(snapshot: Snapshot, text: str) -> None:
    bind = bind_of(key("caller"))
    found = find(text, bind, snapshot.aliases.values())
    if found is not None:
        alias, deployment, stored = found
        tag = tag_of(alias.name, deployment.provider, deployment.model)
        assert text == shown_id(stored.raw_id, tag, bind)


@given(name=st.sampled_from(["caller", "other", "star"]), raw=raws)
def test_an_id_that_leaks_is_of_no_use_with_any_other_key(
    snapshot: Snapshot, name: str, raw: str
) -> None:
    found = find(shown_to(name, raw), bind_of(key("caller")), snapshot.aliases.values())
    assert (found is not None) == (name == "caller")


def test_the_secret_of_the_ids_is_not_the_hash_that_the_policy_has(snapshot: Snapshot) -> None:
    assert bind_of(key("caller")) != snapshot.keys["caller"].sha256
