"""/manage/token: who may manage."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Response

from console.api.callers import Asker, IfMatch, written
from console.api.http import WRITES, ExactRoute, answer, refusals
from console.shapes.base import Deleted
from console.shapes.tokens import TokenCreate, TokenCreated, TokenList

router = APIRouter(prefix="/manage/token", tags=["tokens"], route_class=ExactRoute)

TokenId = Annotated[str, Path(description="A token's id.", min_length=1, max_length=128)]


@router.post(
    "",
    status_code=201,
    response_model=TokenCreated,
    responses=refusals(*WRITES),
    summary="Make a management token; it is shown this once",
)
async def create(asker: Asker, asked: TokenCreate) -> Response:
    return await written(
        asker,
        "token.create",
        f"token:{asked.id}",
        lambda: asker.services.tokens.create(asker.actor, asked),
        201,
    )


@router.get("", response_model=TokenList, responses=refusals(), summary="List tokens")
async def listed(asker: Asker) -> Response:
    return answer(await asyncio.to_thread(asker.services.tokens.list, asker.actor))


@router.delete(
    "/{token_id}",
    response_model=Deleted,
    responses=refusals(*WRITES),
    summary="Delete a token: it is refused from then on",
)
async def delete(asker: Asker, token_id: TokenId, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "token.delete",
        f"token:{token_id}",
        lambda: asker.services.tokens.delete(asker.actor, token_id, if_match),
    )
