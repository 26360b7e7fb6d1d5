"""Builds what the API and the pages work with; opens files, and no connection."""

from __future__ import annotations

import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from console.audit.errors import Unreadable
from console.audit.kept_head import KeptHead
from console.audit.log import AuditLog
from console.audit.record import Head
from console.current import CurrentPolicy
from console.edits.editor import Planned, PolicyEditor
from console.edits.git import GitCommits
from console.edits.keys import Keys
from console.edits.models import Models
from console.edits.policy import Policy
from console.edits.projects import Projects
from console.edits.reader import PolicyReader
from console.edits.teams import Teams
from console.edits.tokens import Tokens
from console.history import PolicyHistory
from console.identity.asking import Identity
from console.identity.code_flow import CodeFlow
from console.identity.sessions import Sessions
from console.inforce import InForce
from console.options import ConsoleOptions
from console.problems import ManageError
from console.reads.readings import Readings
from console.recording import Recording
from console.services import Services
from tollhouse.policy.problems import PolicyError
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.policy import PolicyMetrics

log = logging.getLogger("tollhouse.console")

_WRITERS = 8  # they wait for one lock


def build(chosen: ConsoleOptions, metrics: PolicyMetrics) -> Services:
    """Raises PolicyError when there is no good policy to start from; ServiceError."""
    state, demo = _state(chosen.state_dir), chosen.demo_keys
    kept = KeptHead(chosen.redis_url)
    audit = AuditLog(state / "audit.json", on_head=lambda head: _advance(kept, head))
    recording, history = Recording(audit), PolicyHistory(state / "history")

    reader = PolicyReader(chosen.policies, allow_demo_keys=demo)
    past = _Past(recording, history, reader)

    editor = PolicyEditor(
        chosen.policies,
        allow_demo_keys=demo,
        git=GitCommits(chosen.policies) if chosen.git_commit else None,
        before_write=past.write,
        undone=recording.undone,
    )
    sessions = Sessions.kept_in(state / "session.key")
    return Services(
        current=CurrentPolicy(chosen.policies, past.adopted, metrics, allow_demo_keys=demo),
        reader=reader,
        keys=Keys(reader, editor, _clock),
        teams=Teams(reader, editor),
        projects=Projects(reader, editor),
        models=Models(reader, editor),
        tokens=Tokens(reader, editor, _clock),
        readings=Readings(chosen.redis_url),
        audit=audit,
        recording=recording,
        history=history,
        identity=Identity(sessions, allow_demo=demo),
        code_flow=CodeFlow(sessions.fernet),
        in_force=InForce(chosen.services),
        writers=ThreadPoolExecutor(_WRITERS, "writer"),
        access_logs=tuple(chosen.access_log),
        now=time.time,
    )


def _clock() -> datetime:
    return datetime.now(UTC)


def _state(directory: Path) -> Path:
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"--state-dir {directory} cannot be made: {error.strerror}") from None
    return directory


class _Past:
    """Notes each policy in the audit log, and keeps it to be compared."""

    def __init__(self, recording: Recording, history: PolicyHistory, reader: PolicyReader) -> None:
        self._recording = recording
        self._history = history
        self._reader = reader

    def write(self, planned: Planned) -> None:
        """An edit of ours. Raises ManageError where it cannot be recorded: it is not made then."""
        if planned.old.snapshot.version != self._recording.last:
            self._keep(planned.old)
        self._recording.write(planned)
        self._keep(planned.new)

    def adopted(self, old: Policy | None, new: Policy) -> None:
        """What came into force, whoever edited it: the files are the source of truth."""
        self._reader.note(new)
        try:
            if old is None:
                self._begin(new)
            # It takes a moment to notice an edit: another may have been made and recorded since.
            if self._reader.now().snapshot.version != self._recording.last:
                self._recording.changed(new.snapshot)
        except ManageError as error:
            log.error("a policy is not recorded", extra={"fields": {"reason": str(error)}})
        self._keep(new)

    def _begin(self, new: Policy) -> None:
        newest = next(iter(self._history.kept()), None)
        if newest is None:
            return
        if newest.version == new.snapshot.version:
            self._recording.begin(new.snapshot)
            return
        # The rules of then may not be those of today.
        with contextlib.suppress(PolicyError):
            before = self._history.snapshot(newest.version)
            if before is not None:
                self._recording.begin(before)

    def _keep(self, policy: Policy) -> None:
        try:
            self._history.keep(policy.tree, time.time())
        except OSError as error:
            log.error("a policy is not kept", extra={"fields": {"reason": str(error)}})


def _advance(kept: KeptHead, head: Head) -> None:
    # The file has it; the next record brings this place up to date.
    try:
        kept.advance(head)
    except Unreadable as error:
        log.warning("audit head not kept in Redis", extra={"fields": {"reason": str(error)}})
