"""GET /manage/policy: which policy is in force, and what changed since another."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Response

from authz_service.diff.compare import compare
from console.acting import Acting
from console.api.callers import Asker
from console.api.http import ExactRoute, answer, refusals
from console.history import Kept
from console.problems import ManageError
from console.shapes.policy import PolicyChange, PolicyQuery, PolicyVersion, PolicyView
from tollhouse.keyring import moments
from tollhouse.policy.problems import PolicyError

router = APIRouter(prefix="/manage/policy", tags=["policy"], route_class=ExactRoute)


@router.get(
    "",
    response_model=PolicyView,
    responses=refusals("not_found", "policy_refused"),
    summary="The policy in force, and what changed since another",
)
async def policy(asker: Asker, query: Annotated[PolicyQuery, Query()]) -> Response:
    asker.require("policy.read")
    snapshot, problems = asker.policy.snapshot, asker.services.current.problems
    kept = await asyncio.to_thread(list, asker.services.history.kept())
    changes = await asyncio.to_thread(_changes, asker, query.since) if query.since else None
    return answer(
        PolicyView(
            version=snapshot.version,
            org=snapshot.org.name,
            time_zone=snapshot.org.time_zone,
            stale=bool(problems),
            problems=list(problems),
            teams=len(snapshot.teams),
            keys=len(snapshot.keys),
            models=len(snapshot.aliases),
            history=[_version(each) for each in kept],
            changes=changes,
        )
    )


def _version(kept: Kept) -> PolicyVersion:
    return PolicyVersion(version=kept.version, since=moments.iso(kept.since))


def _changes(asker: Acting, version: str) -> list[PolicyChange]:
    try:
        old = asker.services.history.snapshot(version)
    except PolicyError as error:
        message = f"version {version} cannot be compared: today's rules refuse it: {error}"
        raise ManageError("policy_refused", message, "since") from None
    if old is None:
        raise ManageError(
            "not_found", f"version {version} is not kept: `history` lists those that are", "since"
        )
    return [
        PolicyChange(group=name, direction=change.direction, text=change.text)
        for name, changes in compare(old, asker.policy.snapshot)
        for change in changes
    ]
