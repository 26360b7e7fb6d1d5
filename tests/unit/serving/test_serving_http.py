"""tollhouse.serving.http: what Prometheus and a probe are answered."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from tollhouse.serving.http import SideDoor
from tollhouse.serving.readiness import Readiness


@dataclass
class Side:
    """A side door, and what it tells of."""

    http: httpx.Client
    readiness: Readiness
    registry: CollectorRegistry


@pytest.fixture(scope="module")
def door() -> Iterator[Side]:
    """One for all tests here: to stop one takes half a second."""
    readiness, registry = Readiness(), CollectorRegistry()
    side_door = SideDoor("127.0.0.1", 0, registry, readiness, lambda: {"version": "1d945c01341c"})
    side_door.start()
    with httpx.Client(base_url=side_door.url, trust_env=False) as client:
        yield Side(client, readiness, registry)
    side_door.stop()


@pytest.fixture
def http(door: Side) -> httpx.Client:
    return door.http


@pytest.fixture
def registry(door: Side) -> CollectorRegistry:
    return door.registry


@pytest.fixture
def readiness(door: Side) -> Iterator[Readiness]:
    yield door.readiness
    for part in door.readiness.problems:
        door.readiness.fine(part)


def test_port_zero_becomes_a_port_that_is_told(http: httpx.Client) -> None:
    assert http.base_url.host == "127.0.0.1"
    assert http.base_url.port


def test_metrics_are_those_of_the_registry(http: httpx.Client, registry: CollectorRegistry) -> None:
    Counter("tollhouse_things", "Things.", ["kind"], registry=registry).labels("good").inc(3)
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'tollhouse_things_total{kind="good"} 3.0' in answer.text.splitlines()


def test_a_service_without_problems_is_ready(http: httpx.Client) -> None:
    answer = http.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "problems": {}})
    assert answer.headers["content-type"] == "application/json"


def test_a_service_with_problems_is_not_ready_and_says_why(
    http: httpx.Client, readiness: Readiness
) -> None:
    readiness.problem("redis", "away")
    readiness.problem("policy", "none")
    answer = http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "problems": {"redis": "away", "policy": "none"}}


def test_a_service_is_ready_again_when_its_problems_are_gone(
    http: httpx.Client, readiness: Readiness
) -> None:
    readiness.problem("redis", "away")
    readiness.fine("redis")
    assert http.get("/readyz").status_code == 200


def test_a_service_with_problems_lives(http: httpx.Client, readiness: Readiness) -> None:
    readiness.problem("redis", "away")
    answer = http.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"live": True})


def test_the_policy_in_force_is_told(http: httpx.Client) -> None:
    answer = http.get("/policy")
    assert (answer.status_code, answer.json()) == (200, {"version": "1d945c01341c"})


@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthz", "/readyz/x", "/v1/models"])
def test_anything_else_is_not_found_and_the_paths_are_listed(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"paths": ["/metrics", "/readyz", "/livez", "/policy"]}


def test_a_query_changes_no_answer(http: httpx.Client) -> None:
    assert http.get("/readyz?verbose").status_code == 200


def test_a_scrape_leaves_no_line_in_the_log(
    http: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    http.get("/metrics")
    http.get("/nothing")
    assert capfd.readouterr() == ("", "")


def test_a_client_that_says_nothing_keeps_no_probe_waiting(http: httpx.Client) -> None:
    with socket.create_connection((http.base_url.host, http.base_url.port or 0)):
        assert http.get("/livez", timeout=5).status_code == 200
