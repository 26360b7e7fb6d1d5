"""What the API and the pages work with, built once by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from console.audit.log import AuditLog
from console.current import CurrentPolicy
from console.edits.editor import PolicyEditor
from console.history import PolicyHistory
from console.identity.asking import Identity
from console.inforce import InForce
from console.reads.readings import Readings


@dataclass(frozen=True, slots=True)
class Services:
    """`access_logs` are patterns of files; `now` is seconds since the epoch."""

    current: CurrentPolicy
    editor: PolicyEditor
    readings: Readings
    audit: AuditLog
    history: PolicyHistory
    identity: Identity
    in_force: InForce
    access_logs: tuple[str, ...]
    now: Callable[[], float]
