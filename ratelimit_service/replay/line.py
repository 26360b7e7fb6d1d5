"""One line of the access log as what the ledger is told of it. Pure.

The file has what the stream to ratelimit_service has: the same request gives the same `Entry`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ratelimit_service.ledger.types import Withdrawal
from ratelimit_service.settlement import Entry, parse_slot, read_usage, silent_cost
from tollhouse.decisions import ALLOWED, PROVIDER_ERROR
from tollhouse.money import Price

# The short names of the flags in entries._NEVER_SENT, as %RESPONSE_FLAGS% writes them.
_NEVER_SENT = frozenset({"UH", "UF", "UO", "NR", "NC", "DF"})


class MalformedLine(Exception):
    """The line is not one that Envoy wrote; the message says what is wrong and repeats nothing."""


def entry_from_line(line: bytes) -> Entry | None:
    """The entry of an admitted request, None of any other. Raises MalformedLine."""
    try:
        fields = json.loads(line)
        reservation = fields.get("reservation", {})
        if "reservation_id" not in reservation:
            return None
        return _entry(fields, reservation)
    except KeyError as error:
        raise MalformedLine(f"no {error.args[0]} in it") from None
    except (ValueError, TypeError, AttributeError):
        raise MalformedLine("not a line of an access log") from None


def withdrawal_from_line(line: bytes) -> Withdrawal | None:
    """What is to be given back by a line of `line_from_withdrawal`, None of any other."""
    try:
        fields = json.loads(line)["withdrawal"]
        slots = tuple(parse_slot(f"{slot}|-")[0] for slot in fields["slots"])
        return Withdrawal(slots, fields["reservation_id"], fields["request_id"])
    except (KeyError, TypeError, ValueError):
        return None


def line_from_withdrawal(withdrawal: Withdrawal) -> bytes:
    """A line, newline included, that `withdrawal_from_line` reads; no line of the access log."""
    fields = {
        "reservation_id": withdrawal.reservation_id,
        "request_id": withdrawal.request_id,
        "slots": [slot.tag for slot in withdrawal.slots],
    }
    return json.dumps({"withdrawal": fields}, separators=(",", ":")).encode() + b"\n"


def line_from_entry(entry: Entry) -> bytes:
    """The line, newline included, that `entry_from_line` reads as this entry."""
    usage = entry.usage
    fields: dict[str, Any] = {
        "key_id": entry.key_id,
        "team": entry.team,
        "project": entry.project,
        "alias": entry.alias,
        "decision": PROVIDER_ERROR if entry.failed else ALLOWED,
        "flags": "-" if entry.reached_provider else "UF",
        "reservation": {
            "reservation_id": entry.reservation_id,
            "slots": entry.slots,
            "cost_nanousd": str(entry.reserved_cost),
        },
        "usage": {
            "usage_source": entry.usage_source,
            **{name: count for name, count in usage.counts().items() if count},
            **({"service_tier": usage.service_tier} if usage.service_tier else {}),
            **({"image_variant": usage.image_variant} if usage.image_variant else {}),
        },
        **({"silent_cost_nanousd": str(entry.silent_cost)} if entry.silent_cost else {}),
        **({"price": entry.price.to_labels()} if entry.price else {}),
    }
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def _entry(fields: Mapping[str, Any], reservation: Mapping[str, Any]) -> Entry:
    usage, source = read_usage(fields.get("usage"))
    return Entry(
        reservation_id=str(reservation["reservation_id"]),
        slots=tuple(map(str, reservation["slots"])),
        key_id=str(fields["key_id"]),
        team=str(fields["team"]),
        project=str(fields["project"]),
        alias=str(fields["alias"]),
        usage=usage,
        usage_source=source,
        price=Price.from_labels(fields["price"]) if "price" in fields else None,
        reached_provider=_NEVER_SENT.isdisjoint(str(fields["flags"]).split(",")),
        failed=fields.get("decision", ALLOWED) != ALLOWED,
        reserved_cost=int(reservation["cost_nanousd"]),
        silent_cost=_silent_cost(fields),
    )


def _silent_cost(fields: Mapping[str, Any]) -> int:
    if "silent_cost_nanousd" in fields:
        return int(fields["silent_cost_nanousd"])
    return silent_cost(fields.get("tried", ()))
