"""The policy in force, its history, and what versions differ in."""

from __future__ import annotations

import logging
import re

from starlette.responses import Response

from console.audit.errors import Unreadable
from console.audit.search import search_audit
from console.pages.handlers.overview import policy_state
from console.pages.views import policy
from console.pages.visit import Visit
from console.problems import ManageError
from tollhouse.access_log.logs import LogError
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError

log = logging.getLogger("tollhouse.console")

_VERSION = re.compile(r"[0-9a-f]{12}")
_MOST_RECORDS = 1000


async def show(visit: Visit) -> Response:
    """Which is in force, since when, and which were before."""
    visit.require("policy.read")
    kept = await visit.in_thread(lambda: list(visit.services.history.kept()))
    records = await visit.in_thread(_records, visit) if visit.may("audit.read") else {}
    current = visit.snapshot.version
    snapshot = visit.snapshot
    return visit.page(
        "policy.html",
        "Policy",
        "Policy",
        state=await policy_state(visit),
        versions=policy.versions(kept, current, records, visit.now),
        counts=[
            ("Teams", len(snapshot.teams)),
            ("Projects", sum(len(team.projects) for team in snapshot.teams.values())),
            ("Keys", len(snapshot.keys)),
            ("Models", len(snapshot.aliases)),
            ("Providers", len(snapshot.providers)),
        ],
        zone=snapshot.org.time_zone,
    )


async def diff(visit: Visit) -> Response:
    """What changed from one version to another, in sentences."""
    visit.require("policy.read")
    old, new = visit.query("from") or "", visit.query("to") or visit.snapshot.version
    kept = await visit.in_thread(lambda: [each.version for each in visit.services.history.kept()])
    groups = await visit.in_thread(
        lambda: policy.groups(_snapshot(visit, old), _snapshot(visit, new))
    )
    return visit.page(
        "diff.html",
        "Policy",
        "What changed",
        old=old,
        new=new,
        groups=groups,
        kept=list(dict.fromkeys(kept)),
    )


def _records(visit: Visit) -> dict[str, policy.Made]:
    try:
        found = search_audit(visit.services.audit.path, limit=_MOST_RECORDS)
    except (Unreadable, LogError) as error:
        log.warning("the audit log is not shown", extra={"fields": {"reason": str(error)}})
        return {}
    return policy.by_version(record.fields for record in reversed(found))


def _snapshot(visit: Visit, version: str) -> Snapshot:
    if version == visit.snapshot.version:
        return visit.snapshot
    try:
        found = visit.services.history.snapshot(version) if _VERSION.fullmatch(version) else None
    except PolicyError as error:
        message = f"Version {version} cannot be compared: today's rules refuse it: {error}"
        raise ManageError("policy_refused", message) from error
    if found is None:
        raise ManageError("not_found", "This version of the policy is not kept.")
    return found
