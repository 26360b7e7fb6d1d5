"""What goes into the audit log, and when: writes before they are made, refusals, edits by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from authz_service.diff.compare import compare
from console import request
from console.actors import Actor
from console.audit.errors import AuditUnavailable
from console.audit.log import AuditLog
from console.audit.record import Entry
from console.edits.editor import Planned
from console.problems import ManageError
from tollhouse.policy.compiled import Snapshot

MOST_CHANGES = 200
"""Sentences of one change of the policy that are recorded."""


class Recording:
    """Of one console. Every method raises ManageError `audit_unavailable`: what cannot be recorded
    is not done."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._written: list[str] = []  # versions that edits of ours made, and nobody saw yet

    def write(self, planned: Planned) -> None:
        """An edit that is about to be written."""
        change, facts = planned.change, request.current()
        old, new = planned.old.snapshot.version, planned.new.snapshot.version
        self._append(
            Entry(
                action=change.action,
                target=f"{change.action.partition('.')[0]}:{change.target}",
                outcome="allowed",
                actor=planned.actor,
                before=change.before,
                after=change.after,
                policy_before=old,
                policy_after=new,
                **_where(),
            )
        )
        self._written.append(new)
        facts.written = new

    def refused(self, actor: Actor, action: str, target: str, error: ManageError) -> None:
        """A write that was not made. `target` is KIND:NAME."""
        outcome = "failed" if error.status >= 500 else "refused"
        self._append(
            Entry(action, target, outcome, actor, code=error.code, **_where())  # type: ignore[arg-type]
        )

    def signed_in(self, actor: Actor) -> None:
        """Somebody opened the pages."""
        self._append(Entry("sign_in", "console:pages", "allowed", actor, **_where()))

    def changed(self, old: Snapshot | None, new: Snapshot) -> None:
        """Another policy came into force. Nothing is recorded of what an edit of ours has said."""
        if new.version in self._written:
            # What came before it was there for too short a time to be seen.
            del self._written[: self._written.index(new.version) + 1]
            return
        self._append(
            Entry(
                action="policy.changed",
                target="policy:files",
                outcome="allowed",
                after={"changes": list(_sentences(old, new))} if old else None,
                policy_before=old.version if old else None,
                policy_after=new.version,
            )
        )

    def _append(self, entry: Entry) -> None:
        try:
            self._audit.append(entry)
        except AuditUnavailable as error:
            message = f"{error}. Nothing is managed that cannot be recorded"
            raise ManageError("audit_unavailable", message) from error


def _where() -> dict[str, Any]:
    facts = request.current()
    return {"client_address": facts.client_address, "request_id": facts.request_id}


def _sentences(old: Snapshot, new: Snapshot) -> Iterator[str]:
    changes = [change for _, some in compare(old, new) for change in some]
    for change in changes[:MOST_CHANGES]:
        yield change.text
    if len(changes) > MOST_CHANGES:
        yield f"and {len(changes) - MOST_CHANGES} more"
