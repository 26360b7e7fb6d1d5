"""What comes from outside cannot steer the gateway, and what is inside does not go out."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

import h2.connection
import h2.events
import httpx
import pytest

from tests.support.gateway import Gateway, test_key

CHAT = "/v1/chat/completions"
PROVIDERS_CHAT = "/openai/v1/chat/completions"
BODY = b'{"model": "chat", "messages": [{"role": "user", "content": "Say hello"}]}'

# Set by a client, each would choose a provider, a path, a decision, an address or a timeout.
STEERING = {
    "x-tollhouse-provider": "other",
    "x-tollhouse-rewritten": "1",
    "x-tollhouse-decision": "allowed",
    "x-tollhouse-answered-by": "provider",
    "x-envoy-original-path": "/v1/models",
    "x-envoy-retry-on": "5xx",
    "x-envoy-max-retries": "5",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-decorator-operation": "odd",
    "x-envoy-external-address": "203.0.113.7",
    "x-forwarded-for": "203.0.113.7",
    "x-forwarded-host": "evil.test",
    "x-forwarded-port": "1",
    "x-forwarded-client-cert": "By=spiffe://evil",
    "forwarded": "for=203.0.113.7",
    "x-original-url": "/v1/files",
    "x-rewrite-url": "/v1/files",
    "X-Tollhouse-Whatever": "1",
}
# What is the client's own and none of the provider's business.
PRIVATE = {
    "cookie": "session=sk-e2e-cookie",
    "proxy-authorization": "Basic c2stZTJlLXByb3h5LWtleQ==",
    "openai-organization": "org-of-the-client",
    "openai-project": "project-of-the-client",
    "accept-encoding": "gzip",
    "api-key": "sk-e2e-api-key",
    "x-api-key": "sk-e2e-x-api-key",
    "x-forwarded-proto": "https",
}
# By these a client would choose an account, a dearer tier or a feature that no bound knows; the
# last is of nobody that we know, which is why it stays behind as well.
CHOOSING = (
    *("anthropic-beta", "cf-aig-cache-ttl", "helicone-auth", "openai-beta", "x-amz-security-token"),
    *("x-goog-user-project", "x-litellm-tags", "x-ms-client-id", "x-portkey-config"),
    *("x-vllm-priority", "x-of-the-client"),
)
# What passes to every provider.
HARMLESS = {
    "accept": "application/json",
    "idempotency-key": "once",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "a=b",
    "user-agent": "test",
    "x-stainless-lang": "python",
}
# What the gateway itself adds, beside the credential, or sets anew.
OWN = {"authorization", "content-length", "content-type", "host", "x-request-id"}


def chat(
    gateway: Gateway, headers: Mapping[str, str], client: httpx.Client | None = None
) -> httpx.Response:
    own = {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}
    return (client or gateway.http).post(CHAT, content=BODY, headers={**own, **headers})


def test_no_header_of_a_client_steers_the_gateway(gateway: Gateway) -> None:
    answer = chat(gateway, STEERING)
    assert answer.status_code == 200
    assert answer.headers.get_list("x-tollhouse-decision") == ["allowed"]
    [received] = gateway.received()
    assert received.path == PROVIDERS_CHAT
    assert {name.lower() for name, _ in received.headers} & {name.lower() for name in STEERING} == (
        set()
    )
    line = gateway.log_line(answer.headers["x-request-id"])
    assert line["client_address"] == "127.0.0.1"
    assert (line["provider"], line["alias"], line["path"]) == ("openai", "chat", CHAT)


def test_a_refusal_cannot_be_turned_by_a_header(gateway: Gateway) -> None:
    answer = gateway.chat("narrow", {**STEERING}, model="chat-other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "model_not_allowed")
    assert answer.headers.get_list("x-tollhouse-decision") == ["model_not_allowed"]
    assert gateway.received() == []


def test_the_request_id_is_the_gateways_own(gateway: Gateway) -> None:
    chosen = "11111111-2222-4333-8444-555555555555"
    answer = chat(gateway, {"x-request-id": chosen})
    assert answer.headers["x-request-id"] != chosen
    assert gateway.log_line(answer.headers["x-request-id"])["status"] == 200


def test_what_is_private_to_the_client_does_not_reach_the_provider(gateway: Gateway) -> None:
    assert chat(gateway, PRIVATE).status_code == 200
    [received] = gateway.received()
    names = [name.lower() for name, _ in received.headers]
    assert set(names) & set(PRIVATE) == set()
    assert names.count("authorization") == 1
    assert received.provider_key_ok
    assert test_key("app") not in str(received.headers)


def test_no_header_chooses_an_account_or_a_tier_of_the_provider(gateway: Gateway) -> None:
    assert chat(gateway, {**dict.fromkeys(CHOOSING, "1"), **HARMLESS}).status_code == 200
    [received] = gateway.received()
    passed = {name.lower(): value for name, value in received.headers}
    assert passed.keys() == HARMLESS.keys() | OWN
    assert HARMLESS.items() <= passed.items()


def test_a_query_does_not_reach_the_provider_or_the_log(gateway: Gateway) -> None:
    answer = gateway.post(f"{CHAT}?model=gpt-4&api_key=sk-e2e-query", BODY, "app")
    assert answer.status_code == 200
    [received] = gateway.received()
    assert (received.path, received.query) == (PROVIDERS_CHAT, "")
    assert gateway.log_line(answer.headers["x-request-id"])["path"] == CHAT


def test_what_tells_the_account_behind_an_alias_is_not_shown_to_the_client(
    gateway: Gateway,
) -> None:
    answer = chat(gateway, {})
    names = set(answer.headers)
    told = ("openai-", "x-openai-", "cf-", "x-envoy-", "anthropic-")
    assert [name for name in names if name.startswith(told)] == []
    assert names & {"set-cookie", "alt-svc", "via", "strict-transport-security"} == set()
    assert answer.headers["server"] == "tollhouse"
    assert not answer.headers["x-request-id"].startswith("req_")
    # Without a limit of ours there is none to show, and the provider's is not ours.
    assert [name for name in names if name.startswith("x-ratelimit-")] == []


# Paths


@pytest.mark.parametrize("path", ["//v1//chat/completions", "/v1/../v1/chat/./completions"])
def test_a_path_is_put_in_order_before_it_is_judged(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, request(gateway, path))
    assert answer.startswith(b"HTTP/1.1 200")
    assert [one.path for one in gateway.received()] == [PROVIDERS_CHAT]


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions/", "/V1/chat/completions", "/v1/chat/completions;a=1"]
)
def test_a_path_that_is_nearly_the_endpoint_is_not(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, request(gateway, path))
    assert answer.split(b"\r\n")[0].split()[1] in (b"403", b"404")
    assert gateway.received() == []


@pytest.mark.parametrize("path", ["/v1%2fchat/completions", "/v1%5Cchat/completions"])
def test_an_escaped_slash_is_refused(gateway: Gateway, path: str) -> None:
    answer = raw(gateway, request(gateway, path))
    assert answer.startswith(b"HTTP/1.1 400")
    assert b'"code":"invalid_request"' in answer
    assert gateway.received() == []


# Raw HTTP


def request(gateway: Gateway, path: str = CHAT, *headers: str, body: bytes = BODY) -> bytes:
    """HTTP/1.1 as written, with nobody to correct it."""
    length = [] if any("transfer" in name.lower() for name in headers) else [len(body)]
    lines = [
        f"POST {path} HTTP/1.1",
        f"host: {gateway.endpoint.removeprefix('http://')}",
        "connection: close",
        f"authorization: Bearer {test_key('app')}",
        "content-type: application/json",
        *(f"content-length: {number}" for number in length),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def raw(gateway: Gateway, sent: bytes) -> bytes:
    """All that comes back."""
    url = httpx.URL(gateway.endpoint)
    with socket.create_connection((url.host, url.port), timeout=10) as link:
        link.sendall(sent)
        return b"".join(iter(lambda: link.recv(65536), b""))


SMUGGLED = (
    b"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\ncontent-length: 0\r\n\r\n"
)


def test_two_lengths_are_refused_and_what_follows_is_not_read_as_a_request(
    gateway: Gateway,
) -> None:
    both = ("content-length: 3", "transfer-encoding: chunked")
    answer = raw(gateway, request(gateway, CHAT, *both, body=b"0\r\n\r\n" + SMUGGLED))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert gateway.received() == []


@pytest.mark.parametrize(
    "head",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /v1/chat/completions HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nbad header: 1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_next_caller_is_served(
    gateway: Gateway, head: bytes
) -> None:
    answer = raw(gateway, head)
    assert answer.split()[1] in (b"400", b"426")
    assert b'"code":"invalid_request"' in answer
    assert gateway.received() == []
    assert chat(gateway, {}).status_code == 200


def test_a_body_of_unknown_length_is_measured_as_it_comes(gateway: Gateway) -> None:
    def endless() -> object:
        yield b'{"model": "chat", "messages": "'
        for _ in range(21):
            yield b"x" * (1 << 20)

    headers = {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}
    answer = gateway.http.post(CHAT, content=endless(), headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert gateway.received() == []


# HTTP/2


def test_http2_is_spoken_without_tls_too_on_loopback(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.endpoint, http1=False, http2=True, timeout=30) as client:
        answer = chat(gateway, STEERING, client)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    assert gateway.log_line(answer.headers["x-request-id"])["protocol"] == "HTTP/2"
    assert len(gateway.received()) == 1


def test_a_large_body_is_carried_on_http2_as_on_http1(gateway: Gateway) -> None:
    picture = b"A" * (20 << 20)
    large = BODY[:-1] + b', "user": "%b"}' % picture[: 20_971_520 - 200]
    own = {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}
    with httpx.Client(base_url=gateway.endpoint, http1=False, http2=True, timeout=30) as client:
        answer = client.post(CHAT, content=large, headers=own)
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
    [received] = gateway.received()
    assert picture[: 20_971_520 - 200] in received.body


def test_a_body_over_the_limit_is_refused_on_http2_while_it_is_still_being_sent(
    gateway: Gateway,
) -> None:
    assert early_answer(gateway, 20_971_521) == b"413"
    assert gateway.received() == []


def early_answer(gateway: Gateway, size: int) -> bytes:
    """The status that comes while `size` bytes are being sent (httpx would go on waiting for
    room to send the rest)."""
    url, protocol = httpx.URL(gateway.endpoint), h2.connection.H2Connection()
    protocol.initiate_connection()
    protocol.send_headers(
        1,
        [
            (":method", "POST"),
            (":path", CHAT),
            (":scheme", "http"),
            (":authority", url.netloc.decode()),
            ("authorization", f"Bearer {test_key('app')}"),
            ("content-type", "application/json"),
        ],
    )
    with socket.create_connection((url.host, url.port), timeout=10) as link:
        while True:
            room = min(
                protocol.local_flow_control_window(1), protocol.max_outbound_frame_size, size
            )
            if room:
                protocol.send_data(1, b"x" * room)
                size -= room
            link.sendall(protocol.data_to_send())
            for event in protocol.receive_data(link.recv(65536)) if not room else ():
                if isinstance(event, h2.events.ResponseReceived):
                    return dict(event.headers)[b":status"]


def test_a_strangers_large_body_is_refused_before_it_has_come(gateway: Gateway) -> None:
    address = urlsplit(gateway.endpoint)
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        "authorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n{{"
    )
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as stranger:
        stranger.sendall(head.format("nobody's").encode())  # and not a byte more
        answer = stranger.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 401 ")
    assert '"invalid_api_key"' in answer or '"code": "invalid_api_key"' in answer
    [request_id] = re.findall(r"x-request-id: (\S+)", answer)
    line = gateway.log_line(request_id)
    assert (line["decision"], line.get("key_id")) == ("invalid_api_key", None)
    assert line["reason"].startswith("This key is not known here")


def test_a_large_body_of_a_known_key_passes_and_is_decided_once(gateway: Gateway) -> None:
    def decided() -> float:
        return gateway.metric("authz_service", "tollhouse_authz_decisions_total")

    before = decided()
    message = {"role": "user", "content": "x" * 200_000}
    assert gateway.chat("app", messages=[message]).status_code == 200
    assert decided() == before + 1
