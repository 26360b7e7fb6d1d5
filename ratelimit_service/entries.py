"""Envoy's access-log protocol: each entry as what the ledger is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from google.protobuf.struct_pb2 import Value

from ratelimit_service.settlement import (
    NO_ALIAS,
    Entry,
    RefusedEntry,
    UnansweredEntry,
    read_usage,
    silent_cost,
)
from tollhouse import contract
from tollhouse.decisions import ALLOWED, CODES, LEDGER_UNAVAILABLE
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
    asked = _asked(_attempt(common.metadata.filter_metadata)) or grant
    provider = asked["provider"].string_value
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
    fields = metadata[contract.RESPONSE].fields["usage"].struct_value.fields.items()
    # A Value is 0 and empty as what it is not.
    return read_usage({name: value.number_value or value.string_value for name, value in fields})


def _attempt(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    return metadata[contract.ATTEMPT].fields if contract.ATTEMPT in metadata else {}


def _asked(attempt: Mapping[str, Any]) -> Mapping[str, Any]:
    """The deployment that was asked last; empty where none was."""
    return attempt["asked"].struct_value.fields if "asked" in attempt else {}


def _price(attempt: Mapping[str, Any]) -> Price | None:
    """That of the deployment that was asked last; None where none was, or it has no price."""
    price = _asked(attempt).get("price")
    return None if price is None else _read_price(price.SerializeToString())


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
