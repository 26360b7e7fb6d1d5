"""The audit log over the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from console.shapes.base import Shape

Pattern = Annotated[str, Field(max_length=200)]


class AuditQuery(Shape):
    """Which records, and which page of them. Names may be patterns: key.*, team:mark*."""

    model_config = ConfigDict(populate_by_name=True)

    actor: Pattern | None = None
    """Who: a token's id, or a person."""
    action: Pattern | None = None
    """key.create, policy.changed, sign_in, …"""
    target: Pattern | None = None
    """KIND:NAME, such as key:web-1."""
    outcome: Literal["allowed", "refused", "failed"] | None = None
    since: Annotated[datetime | None, Field(strict=False)] = Field(default=None, alias="from")
    """From this moment on."""
    until: Annotated[datetime | None, Field(strict=False)] = Field(default=None, alias="to")
    """Before this moment."""
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 50
    after: Annotated[int, Field(ge=1, le=2**53, strict=False)] | None = None
    """`next` of the page before."""


class AuditActor(Shape):
    """Who did it."""

    id: str
    role: str
    via: str


class AuditRecord(Shape):
    """One line of the log; `docs/audit.md` explains its hash."""

    seq: int
    time: str
    actor: AuditActor | None
    """Null: nobody is known, such as for an edit by hand."""
    action: str
    target: str
    outcome: str
    code: str | None
    """Of a refusal."""
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    client_address: str | None
    request_id: str | None
    policy_before: str | None
    policy_after: str | None
    previous_hash: str
    hash: str


class AuditPage(Shape):
    """One page, the newest first."""

    data: list[AuditRecord]
    next: int | None = None
    """`after` of the next page; null: this is the last."""
