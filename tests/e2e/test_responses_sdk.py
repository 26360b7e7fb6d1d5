"""The Responses API with the real SDK: made, streamed, continued, fetched, deleted. The ids that
the application sees are its key's; the provider gets its own."""

from __future__ import annotations

import json

import openai
import pytest
from openai.types.responses import Response

from tests.support.gateway import Gateway

ALIAS = "responses-json"


@pytest.fixture
def gateway(matrix_gateway: Gateway) -> Gateway:
    matrix_gateway.forget()
    return matrix_gateway


def raw(shown: str) -> str:
    """The provider's id of one that was shown: RAW.TAG.MAC."""
    found, tag, mac = shown.split(".")
    assert found.startswith("resp_")
    assert (len(tag), len(mac)) == (10, 32)
    return found


def test_a_conversation_goes_on_by_ids_that_only_this_key_knows(gateway: Gateway) -> None:
    with gateway.client("app") as client:
        first = client.responses.create(model=ALIAS, input="My name is Ada")
        second = client.responses.create(
            model=ALIAS, input="What is my name?", previous_response_id=first.id
        )
        third = client.responses.create(
            model=ALIAS, input="And backwards?", previous_response_id=second.id
        )
    assert [each.model for each in (first, second, third)] == [ALIAS] * 3
    assert first.output_text.startswith("tok1 ")
    assert (second.previous_response_id, third.previous_response_id) == (first.id, second.id)
    sent = [json.loads(each.body).get("previous_response_id") for each in gateway.received()]
    assert sent == [None, raw(first.id), raw(second.id)]
    assert third.usage
    assert first.usage
    assert third.usage.input_tokens > first.usage.input_tokens


def test_a_stream_shows_one_id_and_the_alias_from_its_first_event_to_its_last(
    gateway: Gateway,
) -> None:
    with gateway.client("app") as client:
        before = client.responses.create(model=ALIAS, input="My name is Ada")
        with client.responses.stream(
            model="responses-sse", input="Say it", previous_response_id=before.id
        ) as stream:
            events = list(stream)
            final = stream.get_final_response()
        shown = [each.response for each in events if hasattr(each, "response")]
        assert {each.id for each in shown} == {final.id}
        assert {each.model for each in shown} == {"responses-sse"}
        assert {each.previous_response_id for each in shown} == {before.id}
        text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
        assert text == final.output_text
        following = client.responses.create(
            model=ALIAS, input="Again", previous_response_id=final.id
        )
    assert following.previous_response_id == final.id
    sent = [json.loads(each.body).get("previous_response_id") for each in gateway.received()]
    assert sent == [None, raw(before.id), raw(final.id)]


def test_a_stored_response_is_fetched_and_deleted_by_its_id(gateway: Gateway) -> None:
    with gateway.client("app") as client:
        made = client.responses.create(model=ALIAS, input="Say hello")
        again = client.responses.retrieve(made.id)
        assert isinstance(again, Response)
        assert (again.id, again.model, again.output_text) == (made.id, ALIAS, made.output_text)
        client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError) as raised:
            client.responses.retrieve(made.id)
    paths = [each.path for each in gateway.received()]
    assert paths == ["/openai/v1/responses", *[f"/openai/v1/responses/{raw(made.id)}"] * 3]
    assert "openai" not in str(raised.value).lower()


async def test_the_async_client_does_the_same(gateway: Gateway) -> None:
    async with gateway.async_client("app") as client:
        made = await client.responses.create(model=ALIAS, input="Say hello")
        streamed = await client.responses.create(
            model="responses-sse", input="Go on", previous_response_id=made.id, stream=True
        )
        last = [event async for event in streamed][-1]
        assert last.type == "response.completed"
        assert last.response.previous_response_id == made.id
        assert (await client.responses.retrieve(last.response.id)).id == last.response.id
        await client.responses.delete(made.id)


@pytest.mark.parametrize("call", ["retrieve", "delete", "create"])
def test_the_response_of_another_key_is_not_found(gateway: Gateway, call: str) -> None:
    with gateway.client("other") as client:
        theirs = client.responses.create(model=ALIAS, input="A secret").id
    gateway.forget()
    with gateway.client("app") as client, pytest.raises(openai.NotFoundError) as raised:
        if call == "create":
            client.responses.create(model=ALIAS, input="Tell", previous_response_id=theirs)
        else:
            getattr(client.responses, call)(theirs)
    assert raised.value.code == "response_not_found"
    assert gateway.received() == []
