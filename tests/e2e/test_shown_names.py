"""A client sees the alias where the provider names its model, in JSON and in every event; all other
bytes are the provider's."""

from __future__ import annotations

import pytest

from tests.e2e.test_streaming import chunks_in, streamed, usage_logged, words_in
from tests.support.gateway import Gateway

PROVIDER_MODEL = "gpt-4o-2024-11-20"


def test_an_answer_in_one_piece_names_the_alias(gateway: Gateway) -> None:
    answer = gateway.chat("app")
    assert answer.json()["model"] == "chat"
    assert PROVIDER_MODEL not in answer.text
    line = gateway.log_line(answer.headers["x-request-id"])
    assert line["usage"]["usage_source"] == "reported"
    assert line["usage"]["complete"]


@pytest.mark.parametrize("shape", ["", "split=1", "split=7", "crlf,split=3", "merge=99"])
def test_every_event_names_the_alias(gateway: Gateway, shape: str) -> None:
    with streamed(gateway, shape) as response:
        body = response.read()
    chunks = chunks_in(body)
    assert len(chunks) == 14
    assert {chunk["model"] for chunk in chunks} == {"chat"}
    assert PROVIDER_MODEL.encode() not in body
    assert len(words_in(chunks).split()) == 12
    assert usage_logged(gateway, response)["usage_source"] == "reported"


def test_a_long_answer_arrives_whole(gateway: Gateway) -> None:
    """Many chunks of it are held, and all of it goes out with the last."""
    texts = ["text " * 20] * 400
    body = {"model": "embed", "input": texts, "dimensions": 512}
    answer = gateway.post("/v1/embeddings", body, "app")
    assert answer.status_code == 200
    assert answer.json()["model"] == "embed"
    assert len(answer.json()["data"]) == len(texts)
    assert len(answer.content) > 1_000_000
