"""Audit logs for tests."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.actors import Actor
from console.audit.log import AuditLog
from console.audit.record import Entry, Record

ADMIN = Actor("jane@example.com", "admin", None, "sso")
NOW = datetime(2026, 11, 28, 9, 6, 8, 307_456, tzinfo=UTC)


def entry(target: str = "key:web-1", action: str = "key.block") -> Entry:
    return Entry(
        action,
        target,
        "allowed",
        ADMIN,
        before={"blocked": False},
        after={"blocked": True},
        client_address="10.1.2.3",
        request_id="98b46c24-8b0d-49d7-9d0d-b4cebabe6b91",
        policy_before="bba6d432694b",
        policy_after="0c4d3e2f1a0b",
    )


def write(path: Path, count: int = 1) -> list[Record]:
    log = AuditLog(path, now=lambda: NOW)
    return [log.append(entry(f"key:web-{number}")) for number in range(1, count + 1)]


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


# Access logs

_CALL = {
    "alias": "small",
    "attempts": 1,
    "client_address": "10.0.0.7",
    "decision": "allowed",
    "duration_ms": 11,
    "env": "prod",
    "flags": "-",
    "key_id": "web-1",
    "price": {
        "cached_input_per_million": "0.075",
        "input_per_million": "0.15",
        "output_per_million": "0.6",
    },
    "project": "site",
    "reason": "allowed",
    "request_id": "98b46c24",
    "reservation": {"reservation_id": "01a2", "slots": ["team:marketing|team"]},
    "status": 200,
    "team": "marketing",
    "time": "2026-11-28T09:06:08.307Z",
    "usage": {"input_tokens": 10, "output_tokens": 12, "usage_source": "reported"},
}


def call(**changes: Any) -> dict[str, Any]:
    """An answered call's line; a change to None takes the field away."""
    fields = {**_CALL, **changes}
    return {name: value for name, value in fields.items() if value is not None}


def refusal(code: str = "budget_exceeded", **changes: Any) -> dict[str, Any]:
    """A refused call's line."""
    told = {"attempts": 0, "decision": code, "reason": f"Refused by {code}.", "status": 429}
    return call(price=None, reservation=None, usage=None, flags="RL", **{**told, **changes})


def at(day: int, hour: int = 9, minute: int = 0, second: int = 0, ms: int = 0) -> str:
    return f"2026-11-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"


def write_calls(path: Path, *calls: dict[str, Any] | bytes) -> Path:
    written = [
        one if isinstance(one, bytes) else json.dumps(one, separators=(",", ":")).encode()
        for one in calls
    ]
    text = b"".join(one + b"\n" for one in written)
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path
