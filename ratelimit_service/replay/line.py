"""One line of the access log as what the ledger is told of it. Pure.

The file has what the stream to ratelimit_service has: the same request gives the same `Entry`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ratelimit_service.settlement import Entry, read_usage
from tollhouse.decisions import ALLOWED
from tollhouse.money import Price

# The short names of the flags in transport._NEVER_SENT, as %RESPONSE_FLAGS% writes them.
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
    )
