"""Who calls, as each endpoint is told, and how a write is done for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from console import request as requests
from console.actors import Actor
from console.api.http import answer
from console.edits.policy import Policy
from console.identity.asking import Asking
from console.permissions import Action, require
from console.problems import ManageError
from console.request import RequestFacts
from console.services import Services
from tollhouse import contract

IN_FORCE_HEADER = "x-tollhouse-in-force"
"""Of a write: true once the gateway goes by it, false if that takes longer; else absent."""

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """An actor and their request. `policy` is what it is answered by, the same to its end; `now` is
    seconds since the epoch."""

    actor: Actor
    services: Services
    policy: Policy
    facts: RequestFacts
    now: float

    def require(self, action: Action, team: str | None = None) -> None:
        """Raises ManageError `role_not_allowed`."""
        require(self.actor, action, team)

    async def write(
        self, action: str, target: str, work: Callable[[], T], status: int = 200
    ) -> Response:
        """Do it, and wait until the gateway goes by it. A refusal is recorded too: `action` and
        `target` (KIND:NAME) are what the audit log calls it then.

        Raises ManageError.
        """
        recording = self.services.recording
        try:
            done = await asyncio.to_thread(work)
        except ManageError as error:
            await asyncio.to_thread(recording.refused, self.actor, action, target, error)
            raise
        return answer(done, status, **await self._in_force())

    async def _in_force(self) -> dict[str, str]:
        if self.facts.written is None:
            return {}
        version, since = self.facts.written, self.services.now()
        known = await self.services.in_force.wait(version, since)
        return {} if known is None else {IN_FORCE_HEADER: str(known).lower()}


# For the document: who it is, is told by `Identity`.
_BEARER = HTTPBearer(
    scheme_name="token",
    description="A management token (tlm_…), or a JWT of the company's single sign-on.",
    auto_error=False,
)


async def caller(request: Request, _bearer: Annotated[object, Security(_BEARER)]) -> Caller:
    """Raises ManageError: invalid_token, token_expired, proxy_key_not_accepted, …"""
    services: Services = request.app.state.services
    facts = RequestFacts(
        client_address=request.headers.get(contract.CLIENT_ADDRESS_HEADER),
        request_id=request.headers.get(contract.REQUEST_ID_HEADER),
    )
    requests.CURRENT.set(facts)
    now = services.now()
    policy = await asyncio.to_thread(services.reader.now)
    asking = Asking(request.method, request.headers, request.cookies)
    return Caller(
        services.identity.actor(asking, policy.snapshot, now), services, policy, facts, now
    )


Asker = Annotated[Caller, Depends(caller)]
IfMatch = Annotated[
    str | None, Header(description="The ETag of what you have seen: nothing else is changed.")
]
