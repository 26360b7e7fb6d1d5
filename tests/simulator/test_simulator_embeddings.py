"""Embeddings: deterministic, in both encodings, counted."""

from __future__ import annotations

import base64
import math
import struct

import openai
import pytest

from tests.simulator.simulator_process import KEY, Simulator


def embed(simulator: Simulator, value: object, simulate: str = "", **fields: object):
    body = {"model": "text-embedding-3-small", "input": value, **fields}
    headers = {"authorization": f"Bearer {KEY}", "x-simulate": simulate}
    return simulator.http.post("/v1/embeddings", json=body, headers=headers)


def test_the_answer_has_the_real_fields(simulator):
    body = embed(simulator, "hello").json()
    vector = body["data"][0]["embedding"]
    assert body == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": vector}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
    assert len(vector) == 8
    assert math.isclose(sum(value * value for value in vector), 1, rel_tol=1e-5)


def test_the_same_text_has_the_same_vector_and_another_has_another(simulator):
    data = embed(simulator, ["one", "two", "one"]).json()["data"]
    assert data[0]["embedding"] == data[2]["embedding"] != data[1]["embedding"]
    assert [item["index"] for item in data] == [0, 1, 2]


def test_base64_holds_the_same_floats(simulator):
    floats = embed(simulator, "hello").json()["data"][0]["embedding"]
    encoded = embed(simulator, "hello", encoding_format="base64").json()["data"][0]["embedding"]
    assert list(struct.unpack("<8f", base64.b64decode(encoded))) == floats


def test_dimensions_are_as_asked(simulator):
    assert len(embed(simulator, "x", dimensions=3).json()["data"][0]["embedding"]) == 3


@pytest.mark.parametrize(
    ("value", "tokens", "vectors"),
    [("abcde", 2, 1), (["a", "é" * 4], 3, 2), ([1, 2, 3], 3, 1), ([[1, 2], [3]], 3, 2)],
)
def test_tokens_are_counted_for_each_form_of_input(simulator, value, tokens, vectors):
    body = embed(simulator, value).json()
    assert body["usage"]["prompt_tokens"] == tokens
    assert len(body["data"]) == vectors


@pytest.mark.parametrize("value", ["", [], [""], [[]], {"a": 1}, 5, [1, "a"], [True]])
def test_an_input_of_no_known_form_is_refused(simulator, value):
    answer = embed(simulator, value)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("'$.input' is invalid.")


def test_other_faulty_fields_are_refused(simulator):
    assert embed(simulator, None).json()["error"]["code"] == "missing_required_parameter"
    assert embed(simulator, "x", dimensions=0).json()["error"]["param"] == "dimensions"
    assert embed(simulator, "x", encoding_format="hex").json()["error"]["param"] == (
        "encoding_format"
    )


def test_embeddings_are_billed_without_completion(simulator):
    embed(simulator, "hello")
    line = simulator.control("bill")["by_model"]["text-embedding-3-small"]
    counts = {name: number for name, number in line.items() if number}
    assert counts == {"requests": 1, "prompt_tokens": 2, "input_tokens": 2}


def test_usage_can_be_first_or_missing(simulator):
    assert list(embed(simulator, "x", "usage_first").json())[1] == "usage"
    assert "usage" not in embed(simulator, "x", "no_usage").json()


def test_the_sdk_decodes_what_it_asked_for(simulator):
    with openai.OpenAI(base_url=f"{simulator.url}/v1", api_key=KEY, max_retries=0) as client:
        answer = client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    assert simulator.last_record()["body_base64"] != ""
    assert b"base64" in base64.b64decode(simulator.last_record()["body_base64"])
    assert len(answer.data[1].embedding) == 8
    assert answer.usage.prompt_tokens == 2
