"""What goes into the audit log, and when: writes before they are made, refusals, edits by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from authz_service.diff.compare import compare
from console import request
from console.actors import Actor
from console.audit.errors import AuditUnavailable
from console.audit.log import AuditLog
from console.audit.record import Entry, Outcome
from console.edits.data import Data
from console.edits.editor import Planned
from console.edits.policy import Policy
from console.problems import ManageError
from tollhouse.policy.compiled import Snapshot

MOST_STRANGERS = 20
"""Refused sign-ins of a minute that are recorded."""
MOST_CHANGES = 200
"""Sentences of one change of the policy that are recorded."""


class Recording:
    """Of one console, for any thread. Every method raises ManageError `audit_unavailable`: what
    cannot be recorded is not done."""

    def __init__(self, audit: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._last: Snapshot | None = None
        self._turn = threading.Lock()
        self._strangers: list[float] = []

    @property
    def last(self) -> str | None:
        """The version of the policy that the newest record of one is about."""
        return self._last.version if self._last else None

    def write(self, planned: Planned) -> None:
        """An edit that is about to be written, and before it whatever it was made on top of."""
        with self._turn:
            self._catch_up(planned.old.snapshot)
            self._append(_entry(planned, "allowed"))
            self._last = planned.new.snapshot
        request.current().written = planned.new.snapshot.version

    def undone(self, planned: Planned) -> None:
        """An edit that was recorded and then not written."""
        with self._turn:
            self._append(_entry(planned, "failed"))
            self._last = planned.old.snapshot
        request.current().written = None

    def refused(self, actor: Actor, action: str, target: str, error: ManageError) -> None:
        """A write that was not made. `target` is KIND:NAME."""
        outcome: Outcome = "failed" if error.status >= 500 else "refused"
        self._append(Entry(action, target, outcome, actor, code=error.code, **_where()))

    def signed_in(self, actor: Actor) -> None:
        """Somebody opened the pages."""
        self._append(Entry("sign_in", "console:pages", "allowed", actor, **_where()))

    def refused_sign_in(self, error: ManageError) -> None:
        """Somebody without a good token. Of a flood of them only some are recorded: the access log
        has all."""
        now = self._clock()
        self._strangers = [at for at in self._strangers if at > now - 60][-MOST_STRANGERS:]
        if len(self._strangers) < MOST_STRANGERS:
            self._strangers.append(now)
            entry = Entry("sign_in", "console:pages", "refused", code=error.code, **_where())
            self._append(entry)

    def begin(self, policy: Snapshot) -> None:
        """What was in force when the last record of a policy was made, by another console."""
        self._last = policy

    def changed(self, new: Snapshot) -> None:
        """A policy came into force. Nothing is recorded of what is recorded already."""
        with self._turn:
            self._catch_up(new)

    def _catch_up(self, new: Snapshot) -> None:
        old = self._last
        if old is not None and old.version == new.version:
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
        self._last = new

    def _append(self, entry: Entry) -> None:
        try:
            self._audit.append(entry)
        except AuditUnavailable as error:
            message = f"{error}. Nothing is managed that cannot be recorded"
            raise ManageError("audit_unavailable", message) from error


def _entry(planned: Planned, outcome: Outcome) -> Entry:
    change = planned.change
    kind = change.action.partition(".")[0]
    return Entry(
        action=change.action,
        target=f"{kind}:{change.target}",
        outcome=outcome,
        actor=planned.actor,
        before=_placed(change.before, planned.old, change.target, kind),
        after=_placed(change.after, planned.new, change.target, kind),
        policy_before=planned.old.snapshot.version,
        policy_after=planned.new.snapshot.version,
        **_where(),
    )


def _placed(data: Data | None, policy: Policy, target: str, kind: str) -> Data | None:
    """Of a key, with the team and project that it is written under."""
    key = policy.keys.get(target) if kind == "key" else None
    return (
        data if data is None or key is None else {"team": key.team, "project": key.project, **data}
    )


def _where() -> dict[str, Any]:
    facts = request.current()
    return {"client_address": facts.client_address, "request_id": facts.request_id}


def _sentences(old: Snapshot, new: Snapshot) -> Iterator[str]:
    changes = [change for _, some in compare(old, new) for change in some]
    for change in changes[:MOST_CHANGES]:
        yield change.text
    if len(changes) > MOST_CHANGES:
        yield f"and {len(changes) - MOST_CHANGES} more"
