"""Audit logs for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

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
