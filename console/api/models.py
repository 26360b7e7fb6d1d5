"""/manage/model: the aliases that teams call."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console.api.callers import Asker, IfMatch, written
from console.api.http import WRITES, ExactRoute, answer, refusals
from console.shapes.base import Deleted
from console.shapes.models import ModelCreate, ModelList, ModelPatch, ModelQuery, ModelView

router = APIRouter(prefix="/manage/model", tags=["models"], route_class=ExactRoute)

Alias = Annotated[
    str, Path(description="An alias; may contain / and :.", min_length=1, max_length=128)
]


@router.post(
    "",
    status_code=201,
    response_model=ModelView,
    responses=refusals(*WRITES),
    summary="Make an alias",
)
async def create(asker: Asker, asked: ModelCreate) -> Response:
    return await written(
        asker,
        "model.create",
        f"model:{asked.alias}",
        lambda: asker.services.models.create(asker.actor, asked),
        201,
    )


@router.get("", response_model=ModelList, responses=refusals(), summary="List models")
async def listed(asker: Asker, query: Annotated[ModelQuery, Query()]) -> Response:
    return answer(await asyncio.to_thread(asker.services.models.list, asker.actor, query))


@router.get(
    "/{alias:path}",
    response_model=ModelView,
    responses=refusals("not_found"),
    summary="One alias",
)
async def one(asker: Asker, alias: Alias) -> Response:
    return answer(await asyncio.to_thread(asker.services.models.get, asker.actor, alias))


@router.patch(
    "/{alias:path}",
    response_model=ModelView,
    responses=refusals(*WRITES),
    summary="Change an alias; what is left out stays",
)
async def patch(
    asker: Asker, alias: Alias, asked: ModelPatch, if_match: IfMatch = None
) -> Response:
    return await written(
        asker,
        "model.change",
        f"model:{alias}",
        lambda: asker.services.models.patch(asker.actor, alias, asked, if_match),
    )


@router.delete(
    "/{alias:path}",
    response_model=Deleted,
    responses=refusals(*WRITES, "in_use"),
    summary="Delete an alias that no list names",
)
async def delete(asker: Asker, alias: Alias, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "model.delete",
        f"model:{alias}",
        lambda: asker.services.models.delete(asker.actor, alias, if_match),
    )
