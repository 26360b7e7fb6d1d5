"""ratelimit_service.transport: Envoy's descriptors and log entries, through real protobuf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.protobuf.json_format import MessageToDict
from hypothesis import given

from ratelimit_service.admission import Limited, Reservation
from ratelimit_service.answers import Refusal
from ratelimit_service.entries import entry_from, first_byte_of
from ratelimit_service.ledger.types import LARGEST_AMOUNT
from ratelimit_service.settlement import (
    ESTIMATED,
    NONE,
    REPORTED,
    Entry,
    RefusedEntry,
    UnansweredEntry,
)
from ratelimit_service.size import Call, RequestSize
from ratelimit_service.transport import (
    MalformedRequest,
    admitted,
    call_from,
    limited,
)
from tests.support.prices import prices
from tests.unit.ratelimit.builders import (
    IN_TEAM,
    PRICE,
    REQUEST_ID,
    STARTED,
    logged,
    rate_limit_request,
)
from tollhouse import contract
from tollhouse.money import COUNTS, Price, Usage

FACTS = {
    "key_id": "web-1",
    "alias": "small",
    "policy_version": "1d945c01341c",
    "size": "endpoint=chat/completions;text_bytes=75;media_parts=2;n=3",
}

MALFORMED_SIZE = "the size in the descriptor is malformed"

RESERVED = Reservation(
    id="01a20c11299a7107ba326c52926bb18d",
    slots=(IN_TEAM, "org:acme|org"),
    bound=Usage(75, 4_096),
    cost=2**53 - 1,
    headers=[("x-ratelimit-limit-requests", "60")],
)

LIMITED = Limited(
    Refusal("rate_limit_requests", 'Say "please".', [("retry-after", "12")]), "key web-1", 60, 61
)


def read(facts: Mapping[str, str]) -> Call:
    return call_from(rate_limit_request(facts))


def size_of(*said: str) -> RequestSize:
    return read({**FACTS, "size": ";".join(["endpoint=rerank", *said])}).size


def over_the_wire(answer: bytes) -> RateLimitResponse:
    return RateLimitResponse.FromString(answer)


def headers(response: RateLimitResponse) -> list[tuple[str, str]]:
    return [(header.key, header.value) for header in response.response_headers_to_add]


def metadata(response: RateLimitResponse) -> dict[str, Any]:
    return MessageToDict(response.dynamic_metadata)


def entry_of(**parts: Any) -> Entry:
    found = entry_from(logged(**parts))
    assert isinstance(found, Entry)
    return found


# Questions


def test_a_descriptor_is_read_as_key_alias_and_size() -> None:
    size = RequestSize("chat/completions", 75, 2, None, 3)
    assert read({**FACTS, "request_id": REQUEST_ID}) == Call(
        "web-1", "small", size, REQUEST_ID, "1d945c01341c"
    )


def test_a_size_of_nothing_but_its_endpoint_is_the_usual_one() -> None:
    assert size_of() == RequestSize("rerank", 0, 0, None, 1)


def test_every_fact_of_a_size_is_read() -> None:
    said = {
        "text_bytes": 1,
        "media_parts": 2,
        "max_tokens": 3,
        "n": 4,
        "tools": True,
        "prediction": True,
        "unbounded": "plugins",
        "cache_control": True,
        "service_tier": "flex",
        "characters": 5,
        "audio_bytes": 6,
        "documents": 7,
        "image_variant": "hd 1024x1792",
        "continued": True,
    }
    assert {"endpoint", *said} == {each.name for each in fields(RequestSize)}
    written = [f"{name}={'true' if value is True else value}" for name, value in said.items()]
    assert size_of(*written) == RequestSize(endpoint="rerank", **said)


@pytest.mark.parametrize("fact", ["tools", "prediction", "cache_control", "continued"])
def test_what_is_not_said_to_be_absent_counts(fact: str) -> None:
    for written, present in (("false", False), ("true", True), ("", True)):
        assert getattr(size_of(f"{fact}={written}"), fact) is present


@pytest.mark.parametrize("tier", ["auto", "default", "none", "standard", "standard_only"])
def test_a_usual_tier_is_none(tier: str) -> None:
    assert size_of(f"service_tier={tier}") == size_of()


def test_a_call_that_envoy_gave_no_id_has_an_empty_one() -> None:
    assert read(FACTS).request_id == ""


@pytest.mark.parametrize(("written", "asked"), [("0", 0), ("9" * 16, 10**16 - 1)])
def test_a_cap_is_what_the_client_set(written: str, asked: int) -> None:
    assert size_of(f"max_tokens={written}").max_tokens == asked


def test_entries_of_tomorrow_are_ignored() -> None:
    assert read({**FACTS, "colour": "blue"}) == read(FACTS)


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_that_is_missing_is_named(fact: str) -> None:
    facts = {name: value for name, value in FACTS.items() if name != fact}
    with pytest.raises(MalformedRequest, match=f"^no {fact} in the descriptor$"):
        read(facts)


def test_a_size_without_an_endpoint_is_malformed() -> None:
    with pytest.raises(MalformedRequest, match="no endpoint in the descriptor"):
        read({**FACTS, "size": "text_bytes=75"})


@pytest.mark.parametrize(
    "fact",
    ["text_bytes", "media_parts", "max_tokens", "n", "characters", "audio_bytes", "documents"],
)
@pytest.mark.parametrize("value", ["", "1.5", "None", "none", "1e3", "0x1"])
def test_a_number_that_is_none_is_malformed(fact: str, value: str) -> None:
    with pytest.raises(MalformedRequest, match=MALFORMED_SIZE):
        size_of(f"{fact}={value}")


@pytest.mark.parametrize(
    "size",
    [
        "",
        ";",
        "endpoint",
        "endpoint=a;",
        "endpoint=a;n=1;n=1",
        "endpoint=a;colour=blue",
        "endpoint=a=b",
    ],
)
def test_a_size_that_could_be_read_in_another_way_is_malformed(size: str) -> None:
    with pytest.raises(MalformedRequest, match=MALFORMED_SIZE):
        read({**FACTS, "size": size})


@pytest.mark.parametrize("count", [0, 2])
def test_there_is_one_descriptor(count: int) -> None:
    request = RateLimitRequest()
    for _ in range(count):
        request.descriptors.extend(rate_limit_request(FACTS).descriptors)
    with pytest.raises(MalformedRequest, match=f"^{count} descriptors instead of one$"):
        call_from(request)


# Answers


def test_an_admitted_call_carries_its_reservation_into_the_access_log() -> None:
    response = over_the_wire(admitted(RESERVED))
    assert response.overall_code == RateLimitResponse.OK
    assert headers(response) == RESERVED.headers
    assert response.raw_body == b""
    assert metadata(response) == {
        "reservation_id": RESERVED.id,
        "slots": [IN_TEAM, "org:acme|org"],
        "input_tokens": 75,
        "output_tokens": 4_096,
        "cost_nanousd": "9007199254740991",
    }


def test_a_degraded_reservation_says_so() -> None:
    response = over_the_wire(admitted(replace(RESERVED, degraded=True)))
    assert metadata(response)["degraded"] is True


def test_a_refusal_is_openais_error_with_headers_and_decision() -> None:
    response = over_the_wire(limited(LIMITED))
    assert response.overall_code == RateLimitResponse.OVER_LIMIT
    assert json.loads(response.raw_body) == {
        "error": {
            "message": 'Say "please".',
            "type": "rate_limit_error",
            "param": None,
            "code": "rate_limit_requests",
        }
    }
    assert headers(response) == [
        ("content-type", "application/json"),
        ("retry-after", "12"),
        (contract.DECISION_HEADER, "rate_limit_requests"),
    ]


def test_a_refusal_is_explained_in_the_access_log() -> None:
    assert metadata(over_the_wire(limited(LIMITED))) == {
        "reason": 'Say "please".',
        "refused_at": "key web-1",
        "limit": "60",
        "used": "61",
    }


# Log entries


def test_an_entry_of_an_admitted_call_is_read_whole() -> None:
    assert entry_of() == Entry(
        reservation_id=RESERVED.id,
        slots=(IN_TEAM, "org:acme|org"),
        key_id="web-1",
        team="web",
        project="site",
        alias="small",
        usage=Usage(1_000, 500, 200),
        usage_source=REPORTED,
        price=PRICE,
        reached_provider=True,
        failed=False,
        reserved_cost=615_000,
    )


def test_what_an_answer_reserves_is_what_its_log_entry_settles() -> None:
    settled = entry_of(reservation=metadata(over_the_wire(admitted(RESERVED))))
    assert (settled.reservation_id, settled.slots) == (RESERVED.id, RESERVED.slots)


@pytest.mark.parametrize("reservation", [{}, {"reason": "limited", "limit": "60"}])
def test_a_call_that_was_limited_is_a_refusal_for_the_history(reservation: dict[str, Any]) -> None:
    refused = entry_from(logged(reservation=reservation, decision="rate_limit_requests"))
    assert refused == RefusedEntry(
        "web-1", "web", "site", "small", "rate_limit_requests", float(STARTED)
    )


@pytest.mark.parametrize(("alias", "told"), [("small", "small"), (None, "-")])
def test_a_call_that_authz_refused_is_one_too_with_its_alias_if_it_named_one(
    alias: str | None, told: str
) -> None:
    entry = logged(reservation=None, decision="model_not_allowed", alias=alias, price=None)
    refused = entry_from(entry)
    assert isinstance(refused, RefusedEntry)
    assert (refused.code, refused.alias) == ("model_not_allowed", told)


@pytest.mark.parametrize("decision", ["", "ledger_unavailable"])
def test_a_call_that_was_granted_and_not_answered_is_to_be_given_back_by_its_request_id(
    decision: str,
) -> None:
    entry = entry_from(logged(reservation=None, response=None, decision=decision))
    assert entry == UnansweredEntry(REQUEST_ID, "web", "small")


@pytest.mark.parametrize("entry", [logged(granted=False), logged(reservation=None, alias=None)])
def test_what_no_known_key_asked_or_what_was_only_listed_is_nothing_to_the_ledger(
    entry: HTTPAccessLogEntry,
) -> None:
    assert entry_from(entry) is None


@pytest.mark.parametrize(
    ("decision", "failed"), [("allowed", False), ("", False), ("provider_error", True)]
)
def test_a_call_whose_provider_failed_is_an_error_in_the_history(
    decision: str, failed: bool
) -> None:
    assert entry_of(decision=decision).failed is failed


def test_an_entry_without_any_metadata_has_nothing_to_settle() -> None:
    assert entry_from(HTTPAccessLogEntry()) is None
    assert first_byte_of(HTTPAccessLogEntry()) is None


def test_the_first_byte_is_timed_by_provider_and_alias_where_a_provider_sent_one() -> None:
    entry = logged()
    assert first_byte_of(entry) is None
    common = entry.common_properties
    common.time_to_first_upstream_rx_byte.FromMilliseconds(1_250)
    assert first_byte_of(entry) is None  # no grant: it was the gateway's own answer
    common.metadata.filter_metadata[contract.GRANT].update({"provider": "openai"})
    assert first_byte_of(entry) == ("openai", "small", 1.25)


@pytest.mark.parametrize(
    ("flag", "reached"),
    [
        ("no_healthy_upstream", False),
        ("upstream_connection_failure", False),
        ("upstream_overflow", False),
        ("no_route_found", False),
        ("no_cluster_found", False),
        ("dns_resolution_failure", False),
        ("upstream_connection_termination", True),
        ("upstream_remote_reset", True),
        ("downstream_connection_termination", True),
        ("stream_idle_timeout", True),
        ("upstream_request_timeout", True),
        ("response_from_cache_filter", True),
    ],
)
def test_envoys_flags_tell_whether_the_provider_was_reached(flag: str, reached: bool) -> None:
    assert entry_of(flags=[flag]).reached_provider is reached


def test_a_call_that_was_not_rewritten_was_not_sent_and_used_nothing() -> None:
    unsent = entry_of(response=None)
    assert (unsent.usage, unsent.usage_source) == (Usage(0, 0), NONE)


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ({"usage_source": "reported"}, REPORTED),
        ({"usage_source": "estimated"}, ESTIMATED),
        ({"usage_source": "none"}, NONE),
        ({"usage_source": "guessed"}, ESTIMATED),
        ({}, ESTIMATED),
    ],
)
def test_usage_is_an_estimate_unless_it_says_otherwise(
    written: dict[str, str], source: str
) -> None:
    assert entry_of(response={**written, "input_tokens": 7}).usage_source == source


@pytest.mark.parametrize(
    ("written", "usage"),
    [
        ({}, Usage(0, 0)),
        ({"input_tokens": 10}, Usage(10, 0)),
        ({"output_tokens": 12}, Usage(0, 12)),
        ({"input_tokens": -10, "output_tokens": -1, "cached_input_tokens": -5}, Usage(0, 0)),
        ({"input_tokens": 10, "cached_input_tokens": 99}, Usage(10, 0, 99)),
        ({"input_tokens": 10.9}, Usage(10, 0)),
        ({"input_tokens": 1e300, "output_tokens": 2**53}, Usage(LARGEST_AMOUNT, LARGEST_AMOUNT)),
        ({"input_tokens": float("inf")}, Usage(LARGEST_AMOUNT, 0)),
        ({"output_tokens": float("-inf")}, Usage(0, 0)),
        ({"input_tokens": "10"}, Usage(0, 0)),
    ],
)
def test_counts_are_read_within_what_can_be_charged(written: dict[str, Any], usage: Usage) -> None:
    assert entry_of(response=written).usage == usage


def test_a_count_that_is_not_a_number_cannot_be_settled() -> None:
    with pytest.raises(ValueError, match="NaN"):
        entry_of(response={"input_tokens": float("nan")})


def test_every_count_of_a_call_is_read() -> None:
    written = {name: place for place, name in enumerate(COUNTS, start=1)}
    words = {"service_tier": "flex", "image_variant": "hd 1024x1024"}
    usage = entry_from(logged(response={**written, **words, "usage_source": "reported"}))
    assert isinstance(usage, Entry)
    assert usage.usage == Usage(**written, service_tier="flex", image_variant="hd 1024x1024")


@given(prices)
def test_a_price_survives_the_access_log(price: Price) -> None:
    assert entry_of(price=price.to_labels()).price == price


def test_an_alias_without_a_price_has_none_in_the_access_log() -> None:
    assert entry_of(price=None).price is None


@pytest.mark.parametrize("label", ["input_per_million", "output_per_million"])
def test_a_price_that_is_incomplete_is_an_error_and_not_free(label: str) -> None:
    labels = {name: value for name, value in PRICE.to_labels().items() if name != label}
    with pytest.raises(ValueError, match=f"the price {label} is missing"):
        entry_of(price=labels)
