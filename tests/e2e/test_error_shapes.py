"""An error has the caller's shape, whoever made it, and tells nothing of the provider's account."""

from __future__ import annotations

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


def test_a_path_that_envoy_itself_refuses_has_anthropics_shape_too(gateway: Gateway) -> None:
    answer = gateway.post(f"{MESSAGES}%2Fbatches", BODY, "app")
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    answer = gateway.post("/v1/messages/batches%2F1", BODY, "app")
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "x-tollhouse-asked" not in answer.headers
    other = gateway.post("/v1/chat%2Fcompletions", BODY, "app")
    assert other.json().keys() == {"error"}
    assert "x-tollhouse-asked" not in other.headers


@pytest.mark.parametrize(
    ("part", "status", "code"),
    [("authz_service", 503, "policy_unavailable")],
)
def test_a_reply_that_envoy_makes_for_a_part_of_ours_has_anthropics_shape(
    breakable_gateway: Gateway, part: str, status: int, code: str
) -> None:
    with breakable_gateway.frozen(part):
        answer = breakable_gateway.post(MESSAGES, BODY, "app")
        check(answer, status, "api_error", code)
    assert answer.headers["retry-after"] == "1"


def test_the_answer_to_a_head_request_has_no_body_in_either_shape(gateway: Gateway) -> None:
    answer = gateway.http.head(MESSAGES)
    assert (answer.status_code, answer.content) == (401, b"")


# A provider's errors

OPENAI_CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
    529: openai.InternalServerError,
}


@pytest.mark.parametrize("status", OPENAI_CLASSES)
def test_a_providers_error_is_the_sdks_own_class_and_names_no_account(
    gateway: Gateway, status: int
) -> None:
    faults = {"x-simulate": f"status={status},retry_after=7"}
    with (
        gateway.client("app") as client,
        pytest.raises(openai.APIStatusError) as raised,
    ):
        client.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "Say hello"}],
            extra_headers=faults,
        )
    error = raised.value
    assert type(error) is OPENAI_CLASSES[status]
    assert error.status_code == status
    assert error.response.headers["retry-after"] == "7"
    assert "x-should-retry" not in error.response.headers
    body = error.response.json()
    assert body["error"].keys() == {"message", "type", "param", "code"}
    for told in ("simulated/", "org-simulated", "https://", "openai.com", "gpt-4o"):
        assert told not in error.response.text
    assert int(error.response.headers["content-length"]) == len(error.response.content)


def test_a_rate_limit_of_the_provider_keeps_its_words_but_for_whose_it_is(
    gateway: Gateway,
) -> None:
    error = gateway.chat("app", {"x-simulate": "status=429"}).json()["error"]
    assert error == {
        "message": "Rate limit reached for requests in organization [id] on requests per min "
        "(RPM): Limit 10000, Used 10000, Requested 1. Please try again in 6ms. Visit "
        "[url] to learn more.",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }


@pytest.mark.parametrize("fault", ["abort_after=0", "gzip", "stall=mid_stream"])
def test_an_error_that_is_cut_off_or_cannot_be_read_is_an_error_in_shape(
    gateway: Gateway, fault: str
) -> None:
    answer = gateway.chat("app", {"x-simulate": f"status=500,{fault}"})
    assert answer.status_code in (500, 502, 504)
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] in ("provider_error", "provider_timeout")


# Headers

CONNECTION = {"date", "server", "content-type", "content-length", "transfer-encoding"}
OURS = {"x-request-id", "x-tollhouse-decision"}


@pytest.mark.parametrize("fault", ["split=64", "status=429,retry_after=3", "html_error=502"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_header_of_a_provider_passes_but_those_of_the_list(
    gateway: Gateway, fault: str, stream: bool
) -> None:
    answer = gateway.chat("app", {"x-simulate": fault}, stream=stream)
    assert set(answer.headers) <= CONNECTION | OURS | {"retry-after"}
    assert set(answer.headers) >= OURS
    assert answer.headers["server"] == "tollhouse"
    assert ("retry-after" in answer.headers) == ("retry_after" in fault)


def test_limits_of_ours_are_told_on_what_a_provider_answered(gateway: Gateway) -> None:
    answer: httpx.Response = gateway.chat("app", model="chat-limited")
    assert answer.status_code == 200
    assert answer.headers["x-ratelimit-limit-requests"] == "3"
    assert "x-ratelimit-limit-tokens" not in answer.headers
