"""The road in one call."""

from tests.support.gateway import Gateway


def test_a_chat_call_goes_to_the_provider_and_back(gateway: Gateway) -> None:
    answer = gateway.client("app").chat.completions.create(
        model="chat", messages=[{"role": "user", "content": "Say hello"}]
    )
    assert answer.choices[0].message.content
    assert [b'"gpt-4o-2024-11-20"' in request.body for request in gateway.received()] == [True]
