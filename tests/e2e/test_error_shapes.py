"""An error has the caller's shape, whoever made it, and tells nothing of the provider's account."""

from __future__ import annotations

from collections.abc import Callable

import anthropic
import httpx
import openai
import pytest

from tests.support.gateway import Gateway, test_key

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BODY = b'{"model":"chat","max_tokens":9,"messages":[{"role":"user","content":"Say hello"}]}'


def check(answer: httpx.Response, status: int, kind: str, code: str) -> str:
    """What holds for every refusal in Anthropic's shape; returns its message."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-tollhouse-decision"] == code
    assert int(answer.headers["content-length"]) == len(answer.content)
    body = answer.json()
    assert body.keys() == {"type", "error", "request_id"}
    assert (body["type"], body["error"]["type"], body["error"]["code"]) == ("error", kind, code)
    assert body["error"].keys() <= {"type", "message", "code", "param"}
    assert body["request_id"] == answer.headers["x-request-id"]
    message: str = body["error"]["message"]
    assert len(message) > 20
    return message


@pytest.mark.parametrize("path", [MESSAGES, COUNT, f"{MESSAGES}?beta=true", f"{MESSAGES}/batches"])
def test_a_refusal_by_authz_service_has_anthropics_shape_on_its_paths(
    gateway: Gateway, path: str
) -> None:
    message = check(
        gateway.post(path, BODY, "nobody"), 401, "authentication_error", "invalid_api_key"
    )
    same = gateway.post("/v1/chat/completions", BODY, "nobody")
    assert same.json()["error"]["message"] == message
    assert same.json().keys() == {"error"}


def test_a_key_that_is_blocked_or_unknown_to_anthropics_sdk_is_its_own_class_of_error(
    gateway: Gateway,
) -> None:
    def refused(key: str) -> anthropic.APIStatusError:
        client = anthropic.Anthropic(
            api_key=test_key(key), base_url=gateway.endpoint, max_retries=0
        )
        with client, pytest.raises(anthropic.APIStatusError) as raised:
            client.messages.create(
                model="chat", max_tokens=9, messages=[{"role": "user", "content": "Say hello"}]
            )
        return raised.value

    assert type(refused("nobody")) is anthropic.AuthenticationError
    blocked = refused("blocked")
    assert type(blocked) is anthropic.PermissionDeniedError
    assert blocked.body["error"]["type"] == "permission_error"  # type: ignore[index]
    assert blocked.request_id == blocked.response.headers["x-request-id"]


def test_a_body_beyond_the_limit_is_refused_in_anthropics_shape_before_it_is_read(
    gateway: Gateway,
) -> None:
    large = b'{"model":"chat","user":"%b"}' % (b"x" * 20_971_520)
    check(gateway.post(MESSAGES, large, "app"), 413, "request_too_large", "request_too_large")


def test_http_that_envoy_itself_refuses_has_anthropics_shape_too(gateway: Gateway) -> None:
    answer = gateway.post(MESSAGES, BODY, "app", {"x_odd": "1"})
    assert answer.status_code == 400
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["type"] == "invalid_request_error"
