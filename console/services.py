"""What the API and the pages work with, built once by the composition root."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from console.audit.log import AuditLog
from console.current import CurrentPolicy
from console.edits.keys import Keys
from console.edits.models import Models
from console.edits.projects import Projects
from console.edits.reader import PolicyReader
from console.edits.teams import Teams
from console.edits.tokens import Tokens
from console.history import PolicyHistory
from console.identity.asking import Identity
from console.identity.code_flow import CodeFlow
from console.inforce import InForce
from console.reads.readings import Readings
from console.recording import Recording


@dataclass(frozen=True, slots=True)
class Services:
    """`current` follows the policy, `reader` reads it as the files say now. `access_logs` are
    patterns of files; `now` is seconds since the epoch."""

    current: CurrentPolicy
    reader: PolicyReader
    keys: Keys
    teams: Teams
    projects: Projects
    models: Models
    tokens: Tokens
    readings: Readings
    audit: AuditLog
    recording: Recording
    history: PolicyHistory
    identity: Identity
    code_flow: CodeFlow
    in_force: InForce
    writers: Executor
    access_logs: tuple[str, ...]
    now: Callable[[], float]
