"""Composition root of the console: policy, ledger, audit log, alerts, API and pages.

python -m console --policies policies --listen unix:/run/tollhouse/console.sock --state-dir DIR
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from prometheus_client import CollectorRegistry

from console import options
from console.alerts.loop import AlertLoop
from console.alerts.metrics import AlertMetrics
from console.alerts.store import AlertStore
from console.alerts.webhook import Webhook
from console.app import create_app
from console.audit.errors import AuditUnavailable, Unreadable
from console.audit.kept_head import KeptHead
from console.audit.log import AuditLog
from console.audit.record import Head
from console.current import CurrentPolicy
from console.edits.editor import PolicyEditor
from console.edits.git import GitCommits
from console.edits.keys import Keys
from console.edits.models import Models
from console.edits.policy import Policy
from console.edits.projects import Projects
from console.edits.reader import PolicyReader
from console.edits.teams import Teams
from console.edits.tokens import Tokens
from console.history import PolicyHistory
from console.hosting import serve
from console.identity.asking import Identity
from console.identity.code_flow import CodeFlow
from console.identity.sessions import Sessions
from console.inforce import InForce
from console.options import ConsoleOptions
from console.problems import ManageError
from console.reads.readings import Readings
from console.recording import Recording
from console.services import Services
from tollhouse.policy.management import Alerts
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.watch import watch
from tollhouse.serving import logs
from tollhouse.serving.host import ServiceError
from tollhouse.serving.policy import PolicyMetrics
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("tollhouse.console")


async def run(chosen: ConsoleOptions) -> None:
    """Raises PolicyError when there is no good policy to start from; ServiceError."""
    registry = CollectorRegistry()
    policy_metrics = PolicyMetrics(registry)
    services = _services(chosen, policy_metrics)
    try:
        async with (
            _following(services.current, policy_metrics),
            _alerting(chosen, services, registry),
        ):
            app = create_app(services)
            document = policy_metrics.document
            await serve(chosen.shared, app, registry, Readiness(), document)
    finally:
        await services.readings.close()


def _services(chosen: ConsoleOptions, metrics: PolicyMetrics) -> Services:
    state, demo = _state(chosen.state_dir), chosen.demo_keys
    kept = KeptHead(chosen.redis_url)
    audit = AuditLog(state / "audit.json", on_head=lambda head: _advance(kept, head))
    recording, history = Recording(audit), PolicyHistory(state / "history")

    def adopted(old: Policy | None, new: Policy) -> None:
        metrics.loaded(new.snapshot)
        _keep(history, recording, old, new)

    reader = PolicyReader(chosen.policies, allow_demo_keys=demo)
    editor = PolicyEditor(
        chosen.policies,
        allow_demo_keys=demo,
        git=GitCommits(chosen.policies) if chosen.git_commit else None,
        before_write=recording.write,
    )
    sessions = Sessions.kept_in(state / "session.key")
    return Services(
        current=CurrentPolicy(chosen.policies, adopted, allow_demo_keys=demo),
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
        access_logs=tuple(chosen.access_log),
        now=time.time,
    )


def _clock() -> datetime:
    return datetime.now(UTC)


def _state(directory: Path) -> Path:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"--state-dir {directory} cannot be made: {error.strerror}") from None
    return directory


def _keep(history: PolicyHistory, recording: Recording, old: Policy | None, new: Policy) -> None:
    """What came into force, though nobody edited it here: files are the source of truth."""
    try:
        recording.changed(old, new)
        history.keep(new.tree, time.time())
    except (ManageError, OSError) as error:
        log.error("a policy is not recorded", extra={"fields": {"reason": str(error)}})


def _advance(kept: KeptHead, head: Head) -> None:
    # The file has it; the next record brings this place up to date.
    try:
        kept.advance(head)
    except Unreadable as error:
        log.warning("audit head not kept in Redis", extra={"fields": {"reason": str(error)}})


@asynccontextmanager
async def _following(current: CurrentPolicy, metrics: PolicyMetrics) -> AsyncIterator[None]:
    def refused(error: PolicyError) -> None:
        metrics.failed(error)
        current.refused(error)

    stop = asyncio.Event()
    task = asyncio.create_task(
        watch(current.holder, stop, on_success=current.loaded, on_failure=refused)
    )
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def _alerting(
    chosen: ConsoleOptions, services: Services, registry: CollectorRegistry
) -> AsyncIterator[None]:
    def alerts() -> Alerts | None:
        management = services.current.policy.snapshot.management
        return management.alerts if management else None

    store = AlertStore(chosen.redis_url)
    loop = AlertLoop(
        services.readings,
        lambda: services.current.policy.snapshot,
        alerts,
        store,
        Webhook(),
        metrics=AlertMetrics(registry),
    )
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task
        await store.close()


def main() -> int:
    """The exit status."""
    chosen = options.parse()
    logs.configure(chosen.log_level)
    try:
        uvloop.run(run(chosen))
    except (AuditUnavailable, PolicyError, ServiceError) as error:
        print(f"console: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
