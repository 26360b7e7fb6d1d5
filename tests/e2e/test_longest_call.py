"""No call outlives its reservation: Envoy ends it before the lease does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running

LEASE_SECONDS = 10
ORG = e2e_policy.ORG + f"reservation_lease_seconds: {LEASE_SECONDS}\n"
PROVIDERS = e2e_policy.PROVIDERS.replace("idle_timeout_seconds: 2", "idle_timeout_seconds: 60")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("longest")
    policies = e2e_policy.write(root / "policies", org=ORG, providers=PROVIDERS)
    with running(policies, root / "run") as gateway:
        yield gateway


def test_a_call_without_an_answer_is_told_that_it_took_too_long(gateway: Gateway):
    answer = gateway.chat("app", headers={"x-simulate": "stall=before_headers"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "provider_timeout")
    assert "reservation_lease_seconds" in answer.json()["error"]["message"]
    line = gateway.log_line(answer.headers["x-request-id"])
    assert line["duration_ms"] < LEASE_SECONDS * 1000


def test_a_stream_is_cut_before_its_lease_ends_and_is_charged_and_holds_no_place(
    gateway: Gateway, capsys: pytest.CaptureFixture[str]
):
    stalled = {"x-simulate": "stall=mid_stream"}
    started = time.monotonic()
    with pytest.raises(httpx.RemoteProtocolError):
        gateway.chat("one-at-a-time", headers=stalled, stream=True)
    took = time.monotonic() - started
    line = next(line for line in gateway.log_lines() if line.get("key_id") == "one-at-a-time")
    assert line["duration_ms"] < LEASE_SECONDS * 1000
    assert line["usage"]["usage_source"] == "estimated"
    assert gateway.settled(line["request_id"])
    assert gateway.chat("one-at-a-time").status_code == 200
    with capsys.disabled():
        print(f"\na stalled stream was cut after {took:.1f} s, its lease was {LEASE_SECONDS} s")
