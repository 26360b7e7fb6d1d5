"""Who calls, as each endpoint is told, and how a write is answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Header, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from console.acting import Acting
from console.api.http import answer

IN_FORCE_HEADER = "x-tollhouse-in-force"
"""Of a write: true once the gateway goes by it, false if that takes longer; else absent."""

# For the document: who it is, is told by `Identity`.
_BEARER = HTTPBearer(
    scheme_name="token",
    description="A management token (tlm_…), or a JWT of the company's single sign-on.",
    auto_error=False,
)


async def caller(request: Request, _bearer: Annotated[object, Security(_BEARER)]) -> Acting:
    """Raises ManageError: invalid_token, token_expired, proxy_key_not_accepted, …"""
    found: Acting = request.state.acting
    return found


Asker = Annotated[Acting, Depends(caller)]
IfMatch = Annotated[
    str | None, Header(description="The ETag of what you have seen: nothing else is changed.")
]


async def written(
    asker: Acting, action: str, target: str, work: Callable[[], BaseModel], status: int = 200
) -> Response:
    """The answer to a write (see `Acting.write`). Raises ManageError."""
    done = await asker.write(action, target, work)
    known = asker.in_force
    told = {} if known is None else {IN_FORCE_HEADER: str(known).lower()}
    return answer(done, status, **told)
