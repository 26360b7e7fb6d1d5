"""The control API: what was seen, what would be billed, and faults set from outside."""

from __future__ import annotations

import base64
import json
import time

import httpx
import pytest
from starlette.testclient import TestClient

from tests.simulator.simulator_process import HELLO, HELLO_TOKENS, KEY, Simulator, eventually
from tollhouse.simulator import Settings, create_app
from tollhouse.simulator.books.faults import DefaultFault
from tollhouse.simulator.books.records import Record, Recorder
from tollhouse.simulator.directives import parse


def set_fault(simulator: Simulator, fault: object) -> httpx.Response:
    return simulator.http.put("/_simulator/faults", json=fault)


def test_health_says_ok(simulator):
    assert simulator.control("health") == {"status": "ok"}


def test_a_request_is_recorded_as_it_came(simulator):
    body = b'{"model":"m",  "messages":[{"role":"user","content":"hello"}]}'
    headers = [("authorization", f"Bearer {KEY}"), ("x-twice", "1"), ("x-twice", "2")]
    simulator.http.post("/v1/chat/completions?a=b", content=body, headers=headers)
    (record,) = simulator.control("requests")
    assert (record["method"], record["path"]) == ("POST", "/v1/chat/completions")
    assert record["query"] == "a=b"
    assert base64.b64decode(record["body_base64"]) == body
    assert [pair for pair in record["headers"] if pair[0] == "x-twice"] == [
        ["x-twice", "1"],
        ["x-twice", "2"],
    ]
    assert record["provider_key_ok"]
    assert record["completed"]
    expected = {"prompt_tokens": HELLO_TOKENS, "cached_tokens": 0, "completion_tokens": 12}
    assert record["usage"].items() >= expected.items()


def test_a_request_with_a_wrong_key_is_recorded_as_such(simulator):
    simulator.chat(key="sk-wrong")
    record = simulator.last_record()
    assert not record["provider_key_ok"]
    assert record["usage"] is None


def test_requests_can_be_forgotten(simulator):
    simulator.chat()
    simulator.http.delete("/_simulator/requests")
    assert simulator.control("requests") == []


def test_control_requests_are_not_recorded(simulator):
    simulator.control("health")
    assert simulator.control("requests") == []


def test_nothing_is_recorded_unless_asked():
    recorder = Recorder(enabled=False)
    recorder.add(Record("GET", "/", "", [], b""))
    assert recorder.to_json() == []


def test_the_oldest_records_make_room_for_the_latest():
    by_number = Recorder(enabled=True, max_records=2)
    by_bytes = Recorder(enabled=True, max_bytes=10)
    for name in ("a", "b", "c"):
        by_number.add(Record("GET", name, "", [], b""))
        by_bytes.add(Record("GET", name, "", [(b"h", b"v")], b"123"))
    assert [record["path"] for record in by_number.to_json()] == ["b", "c"]
    assert [record["path"] for record in by_bytes.to_json()] == ["b", "c"]


def test_forgotten_records_free_their_bytes():
    recorder = Recorder(enabled=True, max_bytes=10)
    recorder.add(Record("GET", "a", "", [], b"12345678"))
    recorder.clear()
    recorder.add(Record("GET", "b", "", [], b"12345678"))
    assert len(recorder.to_json()) == 1


def test_the_bill_counts_by_model(simulator):
    simulator.chat()
    simulator.chat("cached_tokens=4", n=2)
    simulator.chat(model="other", stream=True)
    bill = simulator.control("bill")
    assert bill["requests"] == 3
    assert bill["by_model"]["gpt-4o-mini"].items() >= {
        ("requests", 2),
        ("prompt_tokens", 2 * HELLO_TOKENS),
        ("cached_tokens", 4),
        ("completion_tokens", 36),
    }
    assert bill["by_model"]["other"].items() >= {
        ("requests", 1),
        ("prompt_tokens", HELLO_TOKENS),
        ("completion_tokens", 12),
    }
    assert bill["by_provider"] == {"default": bill["by_model"]}
    simulator.http.delete("/_simulator/bill")
    assert simulator.control("bill") == {
        "requests": 0,
        "by_model": {},
        "by_provider": {},
    }


def test_a_client_that_leaves_is_billed_for_what_was_generated(simulator):
    headers = {
        "authorization": f"Bearer {KEY}",
        "x-simulate": "completion_tokens=1000,token_delay_ms=20",
    }
    body = HELLO | {"stream": True}
    with simulator.http.stream(
        "POST", "/v1/chat/completions", json=body, headers=headers
    ) as answer:
        for data in answer.iter_raw():
            if b"tok3 " in data:
                break
    bill = eventually(lambda: simulator.control("bill")["by_model"].get("gpt-4o-mini"))
    assert bill["requests"] == 1
    assert 3 <= bill["completion_tokens"] < 1000
    assert not simulator.finished_record()["completed"]


def test_a_client_that_leaves_a_fast_endless_stream_stops_it(simulator):
    headers = {"authorization": f"Bearer {KEY}", "x-simulate": "completion_tokens=1000000"}
    body = HELLO | {"stream": True}
    with simulator.http.stream(
        "POST", "/v1/chat/completions", json=body, headers=headers
    ) as answer:
        chunks = answer.iter_raw()  # kept: a closed iterator closes the stream
        next(chunks)
    bill = eventually(lambda: simulator.control("bill")["by_model"].get("gpt-4o-mini"))
    assert bill["completion_tokens"] < 1_000_000


def test_a_fault_is_for_so_many_requests(simulator):
    assert set_fault(simulator, {"x-simulate": "status=500", "times": 2}).status_code == 200
    assert [simulator.chat().status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_without_a_number_stays_until_it_is_cleared(simulator):
    set_fault(simulator, {"x-simulate": "status=503", "times": None})
    assert [simulator.chat().status_code for _ in range(3)] == [503] * 3
    simulator.http.delete("/_simulator/faults")
    assert simulator.chat().status_code == 200


def test_a_requests_own_directives_come_before_the_fault(simulator):
    set_fault(simulator, {"x-simulate": "status=500", "times": 1})
    assert simulator.chat("completion_tokens=1").status_code == 200
    assert simulator.chat().status_code == 500


def test_a_refused_key_does_not_use_up_a_fault(simulator):
    set_fault(simulator, {"x-simulate": "status=500", "times": 1})
    simulator.chat(key="sk-wrong")
    assert simulator.chat().status_code == 500


def test_an_unknown_fault_is_refused_and_the_last_one_kept(simulator):
    set_fault(simulator, {"x-simulate": "status=500", "times": None})
    assert set_fault(simulator, {"x-simulate": "nonsense"}).status_code == 400
    assert simulator.chat().status_code == 500


@pytest.mark.parametrize(
    "fault",
    [{}, [], {"x-simulate": 1}, {"x-simulate": "gzip", "times": -1}, {"x-simulate": "", "x": 1}],
)
def test_a_fault_of_another_form_is_refused(simulator, fault):
    answer = set_fault(simulator, fault)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_fault_for_no_request_is_none():
    fault = DefaultFault()
    fault.set(parse("gzip"), 0)
    assert not fault.take().gzip


@pytest.mark.parametrize(
    ("address", "status"), [("127.0.0.1", 200), ("::1", 200), ("10.0.0.9", 403)]
)
def test_only_this_machine_reaches_the_control_api(address, status):
    app = create_app(Settings(keys=(KEY,)))
    with TestClient(app, client=(address, 50000)) as client:
        assert client.get("/_simulator/health").status_code == status


def test_a_forwarded_address_is_not_believed(simulator):
    headers = {"x-forwarded-for": "10.0.0.9", "x-forwarded-proto": "https"}
    answer = simulator.http.get("/_simulator/health", headers=headers)
    assert json.loads(answer.text) == {"status": "ok"}


def test_every_exchange_is_told_in_brief_with_when_it_came_and_what_was_billed(
    simulator: Simulator,
) -> None:
    simulator.http.delete("/_simulator/exchanges").raise_for_status()
    before = time.time()
    chat = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"user-agent": "caller-7", "authorization": f"Bearer {KEY}"}
    simulator.http.post("/v1/chat/completions", json=chat, headers=headers)
    simulator.http.post(
        "/v1/chat/completions", json=chat, headers={**headers, "x-simulate": "status=500"}
    )

    eventually(lambda: simulator.control("exchanges")[0]["completed"])
    billed, failed = simulator.control("exchanges")

    assert before <= billed.pop("received_at") <= failed.pop("received_at") <= time.time()
    counts = {name: number for name, number in billed.items() if number and "_tokens" in name}
    assert counts == {
        "prompt_tokens": 8,
        "input_tokens": 8,
        "completion_tokens": 12,
        "output_tokens": 12,
    }
    others = ("user_agent", "provider", "model", "service_tier", "completed")
    assert [billed[name] for name in others] == ["caller-7", "default", "gpt-4o", "default", True]
    assert (failed["user_agent"], failed["model"], failed["completion_tokens"]) == (
        "caller-7",
        None,
        0,
    )
    simulator.http.delete("/_simulator/exchanges").raise_for_status()
    assert simulator.control("exchanges") == []
