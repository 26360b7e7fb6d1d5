"""…/limits: what is used, reserved and left of the limits of a key, project, team or model now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response

from console.api.callers import Asker
from console.api.http import ExactRoute, answer, refusals
from console.api.keys import Ref
from console.api.teams import ProjectName, TeamName
from console.problems import ManageError
from console.reads.live import LiveLimit, LiveScope
from console.shapes.live import LimitNow, LimitsNow, ScopeNow
from ratelimit_service.ledger.errors import LedgerError
from tollhouse.keyring import moments
from tollhouse.money import nano_to_decimal

router = APIRouter(prefix="/manage", tags=["limits"], route_class=ExactRoute)

_ANSWERS: dict[str, Any] = {
    "response_model": LimitsNow,
    "responses": refusals("not_found", "ledger_unavailable"),
}


@router.get(
    "/proxy_key/{ref}/limits", summary="The limits of a key, and of all above it", **_ANSWERS
)
async def of_key(asker: Asker, ref: Ref) -> Response:
    key = await asyncio.to_thread(asker.services.keys.get, asker.actor, ref)
    return await _now(asker.services.readings.key_scopes(asker.policy.snapshot, key.id))


@router.get("/team/{team}/limits", summary="The limits of a team and its projects", **_ANSWERS)
async def of_team(asker: Asker, team: TeamName) -> Response:
    await asyncio.to_thread(asker.services.teams.get, asker.actor, team)
    return await _now(asker.services.readings.team_scopes(asker.policy.snapshot, team))


@router.get(
    "/project/{team}/{project}/limits", summary="The limits of a project and its keys", **_ANSWERS
)
async def of_project(asker: Asker, team: TeamName, project: ProjectName) -> Response:
    await asyncio.to_thread(asker.services.projects.get, asker.actor, team, project)
    return await _now(asker.services.readings.project_scopes(asker.policy.snapshot, team, project))


async def _now(scopes: Awaitable[list[LiveScope]]) -> Response:
    try:
        return answer(LimitsNow(data=[_scope(each) for each in await scopes]))
    except LedgerError as error:
        raise ManageError("ledger_unavailable", f"{error}: try again") from error
    except KeyError:
        raise ManageError("not_found", "it was deleted just now") from None


def _scope(scope: LiveScope) -> ScopeNow:
    return ScopeNow(
        level=scope.level,
        name=scope.name,
        team=scope.team,
        project=scope.project,
        model=scope.model,
        env=scope.env,
        limits=[_limit(each) for each in scope.limits],
        spent_today_usd=nano_to_decimal(scope.spent_today),
        spent_this_week_usd=nano_to_decimal(scope.spent_this_week),
        spent_this_month_usd=nano_to_decimal(scope.spent_this_month),
        requests_today=scope.requests_today,
        tokens_today=scope.tokens_today,
        running=scope.running,
    )


def _limit(limit: LiveLimit) -> LimitNow:
    def amount(value: int) -> int | Decimal:
        return nano_to_decimal(value) if limit.unit == "nanousd" else value

    return LimitNow(
        name=limit.name,
        unit="usd" if limit.unit == "nanousd" else limit.unit,
        limit=amount(limit.limit),
        used=amount(limit.used),
        reserved=amount(limit.reserved),
        left=amount(limit.left),
        resets_in_seconds=limit.resets_in_seconds,
        resets_at=None if limit.resets_at is None else moments.iso(limit.resets_at),
    )
