"""Envoy's rate-limit and access-log protocols: the only module here that knows protobuf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

from ratelimit_service.admission import Limited, Reservation
from ratelimit_service.answers import Headers
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

_TOTALS = ("input_tokens", "output_tokens")
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


def admitted(reservation: Reservation) -> RateLimitResponse:
    """OK, with the reservation as metadata: that is how it reaches the access log."""
    response = RateLimitResponse(overall_code=RateLimitResponse.OK)
    _add(response, reservation.headers)
    response.dynamic_metadata.update(
        {
            "reservation_id": reservation.id,
            "slots": list(reservation.slots),
            **_reserved(reservation.bound),
            "cost_nanousd": str(reservation.cost),
            **({"degraded": True} if reservation.degraded else {}),
        }
    )
    return response


def _reserved(bound: Usage) -> dict[str, int]:
    """The counts that were reserved; rewrite.lua looks for the two totals always."""
    counts = bound.counts()
    return {name: counts[name] for name in counts if counts[name] or name in _TOTALS}


def limited(limit: Limited) -> RateLimitResponse:
    """OVER_LIMIT, with the whole answer for the caller."""
    refusal = limit.refusal
    response = RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT)
    response.raw_body = error_body(refusal.code, refusal.message, refusal.param).encode()
    _add(response, [("content-type", "application/json"), *refusal.headers])
    _add(response, [(contract.DECISION_HEADER, refusal.code)])
    response.dynamic_metadata.update(
        {
            "reason": refusal.message,
            "refused_at": limit.scope,
            "limit": str(limit.limit),
            "used": str(limit.used),
        }
    )
    return response


def _add(response: RateLimitResponse, headers: Headers) -> None:
    response.response_headers_to_add.extend(
        HeaderValue(key=name, value=value) for name, value in headers
    )


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
    return Entry(
        reservation_id=reservation["reservation_id"].string_value,
        slots=tuple(value.string_value for value in reservation["slots"].list_value.values),
        key_id=grant["key_id"].string_value,
        team=grant["team"].string_value,
        project=grant["project"].string_value,
        alias=grant["alias"].string_value,
        usage=usage,
        usage_source=source,
        price=_price(_attempt(metadata)),
        reached_provider=not _never_sent(logged),
        failed=_decision(logged) not in ("", ALLOWED),
        reserved_cost=int(reservation["cost_nanousd"].string_value),
        silent_cost=_silent_cost(_attempt(metadata)),
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
    seconds = common.time_to_first_upstream_rx_byte.ToNanoseconds() / 1e9
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
    flags = logged.common_properties.response_flags
    return any(getattr(flags, name) for name in _NEVER_SENT)


def _usage(metadata: Mapping[str, Any]) -> tuple[Usage, str]:
    if contract.RESPONSE not in metadata:
        return read_usage(None)
    fields = metadata[contract.RESPONSE].fields.items()
    return read_usage({name: getattr(value, value.WhichOneof("kind")) for name, value in fields})


def _attempt(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return metadata[contract.ATTEMPT].fields if contract.ATTEMPT in metadata else {}


def _price(attempt: Mapping[str, Any]) -> Price | None:
    """That of the deployment that was asked last; None where none was, or it has no price."""
    return Price.from_labels(_plain(attempt["price"])) if "price" in attempt else None


def _silent_cost(attempt: Mapping[str, Any]) -> int:
    tried = attempt["tried"].list_value.values if "tried" in attempt else ()
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
