"""/manage/team and /manage/project: the levels above keys."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console.api.callers import Asker, IfMatch, written
from console.api.http import WRITES, ExactRoute, answer, refusals
from console.shapes.base import Deleted
from console.shapes.levels import (
    LevelQuery,
    ProjectCreate,
    ProjectList,
    ProjectPatch,
    ProjectView,
    TeamCreate,
    TeamList,
    TeamPatch,
    TeamView,
)

router = APIRouter(prefix="/manage", route_class=ExactRoute)

TeamName = Annotated[str, Path(description="A team.", min_length=1, max_length=128)]
ProjectName = Annotated[
    str, Path(description="A project of that team.", min_length=1, max_length=128)
]


@router.post(
    "/team",
    status_code=201,
    response_model=TeamView,
    responses=refusals(*WRITES),
    tags=["teams"],
    summary="Make a team",
)
async def create_team(asker: Asker, asked: TeamCreate) -> Response:
    return await written(
        asker,
        "team.create",
        f"team:{asked.team}",
        lambda: asker.services.teams.create(asker.actor, asked),
        201,
    )


@router.get(
    "/team", response_model=TeamList, responses=refusals(), tags=["teams"], summary="List teams"
)
async def list_teams(asker: Asker, query: Annotated[LevelQuery, Query()]) -> Response:
    return answer(await asyncio.to_thread(asker.services.teams.list, asker.actor, query))


@router.get(
    "/team/{team}",
    response_model=TeamView,
    responses=refusals("not_found"),
    tags=["teams"],
    summary="One team",
)
async def get_team(asker: Asker, team: TeamName) -> Response:
    return answer(await asyncio.to_thread(asker.services.teams.get, asker.actor, team))


@router.patch(
    "/team/{team}",
    response_model=TeamView,
    responses=refusals(*WRITES),
    tags=["teams"],
    summary="Change a team; what is left out stays",
)
async def patch_team(
    asker: Asker, team: TeamName, asked: TeamPatch, if_match: IfMatch = None
) -> Response:
    return await written(
        asker,
        "team.change",
        f"team:{team}",
        lambda: asker.services.teams.patch(asker.actor, team, asked, if_match),
    )


@router.delete(
    "/team/{team}",
    response_model=Deleted,
    responses=refusals(*WRITES, "in_use"),
    tags=["teams"],
    summary="Delete a team that has no keys",
)
async def delete_team(asker: Asker, team: TeamName, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "team.delete",
        f"team:{team}",
        lambda: asker.services.teams.delete(asker.actor, team, if_match),
    )


@router.post(
    "/project",
    status_code=201,
    response_model=ProjectView,
    responses=refusals(*WRITES),
    tags=["projects"],
    summary="Make a project",
)
async def create_project(asker: Asker, asked: ProjectCreate) -> Response:
    return await written(
        asker,
        "project.create",
        f"project:{asked.team}/{asked.project}",
        lambda: asker.services.projects.create(asker.actor, asked),
        201,
    )


@router.get(
    "/project",
    response_model=ProjectList,
    responses=refusals(),
    tags=["projects"],
    summary="List projects",
)
async def list_projects(asker: Asker, query: Annotated[LevelQuery, Query()]) -> Response:
    return answer(await asyncio.to_thread(asker.services.projects.list, asker.actor, query))


@router.get(
    "/project/{team}/{project}",
    response_model=ProjectView,
    responses=refusals("not_found"),
    tags=["projects"],
    summary="One project",
)
async def get_project(asker: Asker, team: TeamName, project: ProjectName) -> Response:
    return answer(await asyncio.to_thread(asker.services.projects.get, asker.actor, team, project))


@router.patch(
    "/project/{team}/{project}",
    response_model=ProjectView,
    responses=refusals(*WRITES),
    tags=["projects"],
    summary="Change a project; what is left out stays",
)
async def patch_project(
    asker: Asker,
    team: TeamName,
    project: ProjectName,
    asked: ProjectPatch,
    if_match: IfMatch = None,
) -> Response:
    return await written(
        asker,
        "project.change",
        f"project:{team}/{project}",
        lambda: asker.services.projects.patch(asker.actor, team, project, asked, if_match),
    )


@router.delete(
    "/project/{team}/{project}",
    response_model=Deleted,
    responses=refusals(*WRITES, "in_use"),
    tags=["projects"],
    summary="Delete a project that has no keys",
)
async def delete_project(
    asker: Asker, team: TeamName, project: ProjectName, if_match: IfMatch = None
) -> Response:
    return await written(
        asker,
        "project.delete",
        f"project:{team}/{project}",
        lambda: asker.services.projects.delete(asker.actor, team, project, if_match),
    )
