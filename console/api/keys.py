"""/manage/proxy_key: the keys of the gateway."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from console.acting import Acting
from console.api.callers import Asker, IfMatch, written
from console.api.http import WRITES, ExactRoute, answer, refusals
from console.shapes.base import Deleted
from console.shapes.keys import (
    KeyBlock,
    KeyCreate,
    KeyCreated,
    KeyList,
    KeyPatch,
    KeyQuery,
    KeyRotate,
    KeyView,
)

router = APIRouter(prefix="/manage/proxy_key", tags=["keys"], route_class=ExactRoute)

Ref = Annotated[
    str, Path(description="A key's id, or the key itself.", min_length=1, max_length=512)
]


def _named(asker: Acting, ref: str) -> str:
    """For the audit log, which must not hold a key."""
    return f"key:{ref if ref in asker.policy.keys else '?'}"


@router.post(
    "",
    status_code=201,
    response_model=KeyCreated,
    responses=refusals(*WRITES),
    summary="Make a key; it is shown this once",
)
async def create(asker: Asker, asked: KeyCreate) -> Response:
    target = f"key:{asked.id or f'{asked.team}/{asked.project}'}"
    return await written(
        asker, "key.create", target, lambda: asker.services.keys.create(asker.actor, asked), 201
    )


@router.get("", response_model=KeyList, responses=refusals(), summary="List keys")
async def listed(asker: Asker, query: Annotated[KeyQuery, Query()]) -> Response:
    return answer(await asyncio.to_thread(asker.services.keys.list, asker.actor, query))


@router.get("/{ref}", response_model=KeyView, responses=refusals("not_found"), summary="One key")
async def one(asker: Asker, ref: Ref) -> Response:
    return answer(await asyncio.to_thread(asker.services.keys.get, asker.actor, ref))


@router.patch(
    "/{ref}",
    response_model=KeyView,
    responses=refusals(*WRITES),
    summary="Change a key; what is left out stays, and the key itself too",
)
async def patch(asker: Asker, ref: Ref, asked: KeyPatch, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "key.change",
        _named(asker, ref),
        lambda: asker.services.keys.patch(asker.actor, ref, asked, if_match),
    )


@router.delete(
    "/{ref}", response_model=Deleted, responses=refusals(*WRITES), summary="Delete a key"
)
async def delete(asker: Asker, ref: Ref, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "key.delete",
        _named(asker, ref),
        lambda: asker.services.keys.delete(asker.actor, ref, if_match),
    )


@router.post(
    "/{ref}/rotate",
    response_model=KeyCreated,
    responses=refusals(*WRITES),
    summary="A new key under the same id; the old one stays valid for a while",
)
async def rotate(
    asker: Asker, ref: Ref, asked: KeyRotate | None = None, if_match: IfMatch = None
) -> Response:
    how = asked or KeyRotate()
    return await written(
        asker,
        "key.rotate",
        _named(asker, ref),
        lambda: asker.services.keys.rotate(asker.actor, ref, how, if_match),
    )


@router.post(
    "/{ref}/block",
    response_model=KeyView,
    responses=refusals(*WRITES),
    summary="Refuse all calls of a key",
)
async def block(
    asker: Asker, ref: Ref, asked: KeyBlock | None = None, if_match: IfMatch = None
) -> Response:
    why = asked or KeyBlock()
    return await written(
        asker,
        "key.block",
        _named(asker, ref),
        lambda: asker.services.keys.block(asker.actor, ref, why, if_match),
    )


@router.post(
    "/{ref}/unblock",
    response_model=KeyView,
    responses=refusals(*WRITES),
    summary="Take back a block of a key",
)
async def unblock(asker: Asker, ref: Ref, if_match: IfMatch = None) -> Response:
    return await written(
        asker,
        "key.unblock",
        _named(asker, ref),
        lambda: asker.services.keys.unblock(asker.actor, ref, if_match),
    )
