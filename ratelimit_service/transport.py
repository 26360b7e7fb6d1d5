"""Envoy's rate-limit and access-log protocols: the only module here that knows protobuf."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.protobuf.struct_pb2 import Value

from ratelimit_service.admission import Limited, Reservation
from ratelimit_service.settlement import (
    NO_ALIAS,
    Entry,
    RefusedEntry,
    UnansweredEntry,
    read_usage,
    silent_cost,
)
from ratelimit_service.size import Call, RequestSize
from tollhouse import contract
from tollhouse.decisions import ALLOWED, CODES, LEDGER_UNAVAILABLE, error_body
from tollhouse.money import Price, Usage

# Response flags with which Envoy says that it had no connection to the provider.
_NEVER_SENT = (
    "no_healthy_upstream",
    "upstream_connection_failure",
    "upstream_overflow",
    "no_route_found",
    "no_cluster_found",
    "dns_resolution_failure",
)

_DOUBLE = struct.Struct("<d")
# A request that names none of its own is charged the usual rates.
_USUAL_TIERS = ("none", "auto", "default", "standard", "standard_only")


class MalformedRequest(Exception):
    """Envoy sent a descriptor that lacks a fact, or has one that cannot be read; the message says
    which."""


def call_from(request: RateLimitRequest) -> Call:
    """The call that Envoy asks about. Raises MalformedRequest."""
    if len(request.descriptors) != 1:
        raise MalformedRequest(f"{len(request.descriptors)} descriptors instead of one")
    facts = {entry.key: entry.value for entry in request.descriptors[0].entries}
    try:
        return Call(
            facts["key_id"],
            facts["alias"],
            _size(facts[contract.SIZE]),
            facts.get(contract.REQUEST_ID_DESCRIPTOR, ""),
            facts["policy_version"],
        )
    except KeyError as error:
        raise MalformedRequest(f"no {error.args[0]} in the descriptor") from None


def _is_said(value: str) -> bool:
    return value != "false"


def _tier(value: str) -> str:
    return "" if value in _USUAL_TIERS else value


_READ: Mapping[str, Callable[[str], Any]] = {
    "endpoint": str,
    "text_bytes": int,
    "media_parts": int,
    "max_tokens": int,
    "n": int,
    "tools": _is_said,
    "prediction": _is_said,
    "unbounded": str,
    "cache_control": _is_said,
    "service_tier": _tier,
    "characters": int,
    "audio_bytes": int,
    "documents": int,
    "image_variant": str,
    "continued": _is_said,
}


def _size(text: str) -> RequestSize:
    """Of `name=value` joined by `;`, as request.lua writes it: what is not said is as
    `RequestSize` has it. One that is not known is no size: it could make the call dearer."""
    said: dict[str, Any] = {}
    try:
        for fact in text.split(";"):
            name, value = fact.split("=")
            if name in said:
                raise ValueError(name)
            said[name] = _READ[name](value)
    except (KeyError, ValueError):
        raise MalformedRequest("the size in the descriptor is malformed") from None
    if "endpoint" not in said:
        raise MalformedRequest("no endpoint in the descriptor")
    return RequestSize(**said)


# An answer is written as what is serialized of its parts: serialized messages that are joined are
# one message, their maps merged. What does not change is written once, which takes a fifth of the
# time of building a message for each call.


def admitted(reservation: Reservation) -> bytes:
    """OK, with the reservation as metadata: that is how it reaches the access log."""
    bound = reservation.bound
    parts = [
        _in_slots(reservation.slots),
        _text("reservation_id", reservation.id),
        _text("cost_nanousd", str(reservation.cost)),
        # rewrite.lua looks for the two totals always.
        _number("input_tokens", bound.input_tokens),
        _number("output_tokens", bound.output_tokens),
        *(_number(name, count) for name, count in bound.beside_totals() if count),
        *(_header(name, value) for name, value in reservation.headers),
    ]
    if reservation.degraded:
        parts.append(_degraded())
    return b"".join(parts)


def limited(limit: Limited) -> bytes:
    """OVER_LIMIT, with the whole answer for the caller."""
    refusal = limit.refusal
    body = error_body(refusal.code, refusal.message, refusal.param).encode()
    over = RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT, raw_body=body)
    headers = [
        ("content-type", "application/json"),
        *refusal.headers,
        (contract.DECISION_HEADER, refusal.code),
    ]
    parts = [
        over.SerializeToString(),
        *(_header(name, value) for name, value in headers),
        _text("reason", refusal.message),
        _text("refused_at", limit.scope),
        _text("limit", str(limit.limit)),
        _text("used", str(limit.used)),
    ]
    return b"".join(parts)


@lru_cache(maxsize=8_192)
def _in_slots(slots: tuple[str, ...]) -> bytes:
    response = RateLimitResponse(overall_code=RateLimitResponse.OK)
    response.dynamic_metadata.update({"slots": list(slots)})
    return bytes(response.SerializeToString())


@cache
def _degraded() -> bytes:
    response = RateLimitResponse()
    response.dynamic_metadata.update({"degraded": True})
    return bytes(response.SerializeToString())


def _text(name: str, text: str) -> bytes:
    """A string of the metadata."""
    written = text.encode()
    return _before_text(name, len(written)) + written


def _number(name: str, number: int) -> bytes:
    """A number of the metadata."""
    return _before_number(name) + _DOUBLE.pack(number)


def _header(name: str, value: str) -> bytes:
    written = value.encode()
    return _before_header(name, len(written)) + written


# On the wire, a value comes after its name and its length.


@lru_cache(maxsize=4_096)
def _before_text(name: str, length: int) -> bytes:
    response = RateLimitResponse()
    response.dynamic_metadata.update({name: "-" * length})
    return _without_last(response, length)


@cache
def _before_number(name: str) -> bytes:
    response = RateLimitResponse()
    response.dynamic_metadata.update({name: 1.0})
    return _without_last(response, _DOUBLE.size)


@lru_cache(maxsize=4_096)
def _before_header(name: str, length: int) -> bytes:
    response = RateLimitResponse()
    response.response_headers_to_add.add(key=name, value="-" * length)
    return _without_last(response, length)


def _without_last(response: RateLimitResponse, size: int) -> bytes:
    whole = bytes(response.SerializeToString())
    return whole[: len(whole) - size]


def entry_from(logged: HTTPAccessLogEntry) -> Entry | RefusedEntry | UnansweredEntry | None:
    """What an entry tells the ledger; None of one that it need not know. Raises ValueError or
    KeyError."""
    metadata = logged.common_properties.metadata.filter_metadata
    if contract.GRANT not in metadata or "team" not in metadata[contract.GRANT].fields:
        return None
    grant = metadata[contract.GRANT].fields
    if contract.RESERVATION not in metadata:
        return _unreserved(logged, grant)
    reservation = metadata[contract.RESERVATION].fields
    if "reservation_id" not in reservation:
        return _refused(logged, grant)
    usage, source = _usage(metadata)
    attempt = _attempt(metadata)
    return Entry(
        reservation_id=reservation["reservation_id"].string_value,
        slots=tuple(value.string_value for value in reservation["slots"].list_value.values),
        key_id=grant["key_id"].string_value,
        team=grant["team"].string_value,
        project=grant["project"].string_value,
        alias=grant["alias"].string_value,
        usage=usage,
        usage_source=source,
        price=_price(attempt),
        reached_provider=not _never_sent(logged),
        failed=_decision(logged) not in ("", ALLOWED),
        reserved_cost=int(reservation["cost_nanousd"].string_value),
        silent_cost=_silent_cost(attempt),
    )


class FirstByte(NamedTuple):
    """`seconds` from the start of a request to its provider's first byte."""

    provider: str
    alias: str
    seconds: float


def first_byte_of(logged: HTTPAccessLogEntry) -> FirstByte | None:
    """None of an entry whose provider sent nothing, or was not asked."""
    common = logged.common_properties
    if not common.HasField("time_to_first_upstream_rx_byte"):
        return None
    grant = common.metadata.filter_metadata[contract.GRANT].fields
    if "provider" not in grant:
        return None
    waited = common.time_to_first_upstream_rx_byte
    seconds = waited.seconds + waited.nanos / 1e9
    asked = _attempt(common.metadata.filter_metadata)
    provider = (asked if "provider" in asked else grant)["provider"].string_value
    return FirstByte(provider, grant["alias"].string_value, seconds)


def _unreserved(
    logged: HTTPAccessLogEntry, grant: Mapping[str, Any]
) -> RefusedEntry | UnansweredEntry | None:
    """Refused by authz_service; or granted, and then nothing was heard of this service."""
    if _decision(logged) not in ("", LEDGER_UNAVAILABLE):
        return _refused(logged, grant)
    request_id = logged.request.request_id
    if not request_id or "alias" not in grant:
        return None
    return UnansweredEntry(request_id, grant["team"].string_value, grant["alias"].string_value)


def _refused(logged: HTTPAccessLogEntry, grant: Mapping[str, Any]) -> RefusedEntry | None:
    code = _decision(logged)
    if code not in CODES:
        return None
    return RefusedEntry(
        key_id=grant["key_id"].string_value,
        team=grant["team"].string_value,
        project=grant["project"].string_value,
        alias=grant["alias"].string_value if "alias" in grant else NO_ALIAS,
        code=code,
        started_at=logged.common_properties.start_time.ToNanoseconds() / 1e9,
    )


def _decision(logged: HTTPAccessLogEntry) -> str:
    return str(logged.response.response_headers.get(contract.DECISION_HEADER, ""))


def _never_sent(logged: HTTPAccessLogEntry) -> bool:
    if not logged.common_properties.HasField("response_flags"):
        return False
    flags = logged.common_properties.response_flags
    return any(getattr(flags, name) for name in _NEVER_SENT)


def _usage(metadata: Mapping[str, Any]) -> tuple[Usage, str]:
    if contract.RESPONSE not in metadata:
        return read_usage(None)
    fields = metadata[contract.RESPONSE].fields.items()
    # A Value is 0 and empty as what it is not.
    return read_usage({name: value.number_value or value.string_value for name, value in fields})


def _attempt(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return metadata[contract.ATTEMPT].fields if contract.ATTEMPT in metadata else {}


def _price(attempt: Mapping[str, Any]) -> Price | None:
    """That of the deployment that was asked last; None where none was, or it has no price."""
    return _read_price(attempt["price"].SerializeToString()) if "price" in attempt else None


@lru_cache(maxsize=4_096)
def _read_price(written: bytes) -> Price:
    return Price.from_labels(_plain(Value.FromString(written)))


def _silent_cost(attempt: Mapping[str, Any]) -> int:
    if "tried" not in attempt:
        return 0
    tried = attempt["tried"].list_value.values
    # One that is alone has answered, or is the one that is charged.
    return silent_cost([_plain(each) for each in tried]) if len(tried) > 1 else 0


def _plain(value: Any) -> Any:
    """A protobuf Value as what JSON would make of it."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: _plain(each) for name, each in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_plain(each) for each in value.list_value.values]
    return None if kind == "null_value" else getattr(value, kind)
