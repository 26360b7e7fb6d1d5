"""The bodies that envoy/lua/failure.lua writes, read by the real SDKs: each status is the class
that its users catch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import openai
import pytest

from tests.lua.modules import Modules

OURS = '{"error":{"message":"Ask the owner.","type":"x","param":null,"code":"a_code"}}'
ANTHROPIC: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
    529: anthropic.OverloadedError,
}
OPENAI: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    502: openai.InternalServerError,
    529: openai.InternalServerError,
}


class _Server(ThreadingHTTPServer):
    """Answers every POST with one status and body."""

    answer: tuple[int, bytes] = (500, b"")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("status", ANTHROPIC)
def test_anthropics_sdk_raises_the_class_of_the_status_and_reads_the_message(
    modules: Modules, server: _Server, status: int
) -> None:
    asker = {"dialect": "anthropic", "request_id": "our-id"}
    body = modules.call("failure", "refusal", str(status), OURS, asker)
    server.answer = (status, body)
    client = anthropic.Anthropic(api_key="none", base_url=server.url, max_retries=0)
    with client, pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(
            model="chat", max_tokens=9, messages=[{"role": "user", "content": "Hello"}]
        )
    error = raised.value
    assert type(error) is ANTHROPIC[status]
    assert error.body["error"]["message"] == "Ask the owner."  # type: ignore[index]
    assert error.body["error"]["code"] == "a_code"  # type: ignore[index]


@pytest.mark.parametrize("status", OPENAI)
def test_openais_sdk_raises_the_class_of_the_status_and_reads_message_and_code(
    modules: Modules, server: _Server, status: int
) -> None:
    body = modules.call("failure", "translate", str(status), OURS, {"dialect": "openai"})[1]
    server.answer = (status, body)
    client = openai.OpenAI(api_key="none", base_url=server.url, max_retries=0)
    with client, pytest.raises(openai.APIStatusError) as raised:
        client.embeddings.create(model="embed", input="Hello")
    error = raised.value
    assert type(error) is OPENAI[status]
    assert (error.code, error.type) == ("a_code", "x")
    assert "Ask the owner." in error.message
