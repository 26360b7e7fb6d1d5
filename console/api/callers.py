"""Who calls, as each endpoint is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request

from console.actors import Actor
from console.edits.policy import Policy
from console.identity.asking import Asking
from console.permissions import Action, require
from console.services import Services
from tollhouse import contract


@dataclass(frozen=True, slots=True)
class Caller:
    """An actor and the request they make; `policy` is what it is answered by, the same to its end.

    `client_address` is what Envoy saw; `if_match` is an ETag without its quotes.
    """

    actor: Actor
    services: Services
    policy: Policy
    client_address: str | None
    request_id: str | None
    now: float
    if_match: str | None = None

    def require(self, action: Action, team: str | None = None) -> None:
        """Raises ManageError `role_not_allowed`."""
        require(self.actor, action, team)


def services_of(request: Request) -> Services:
    """What the composition root built."""
    found: Services = request.app.state.services
    return found


async def caller(
    request: Request,
    if_match: Annotated[
        str | None, Header(description="The ETag of what you have seen: nothing else is changed.")
    ] = None,
) -> Caller:
    """Raises ManageError: invalid_token, token_expired, proxy_key_not_accepted, …"""
    services, now = services_of(request), request.app.state.services.now()
    policy = services.current.policy
    asking = Asking(request.method, request.headers, request.cookies)
    return Caller(
        actor=services.identity.actor(asking, policy.snapshot, now),
        services=services,
        policy=policy,
        client_address=request.headers.get(contract.CLIENT_ADDRESS_HEADER),
        request_id=request.headers.get(contract.REQUEST_ID_HEADER),
        now=now,
        if_match=_etag(if_match),
    )


Asker = Annotated[Caller, Depends(caller)]


def _etag(header: str | None) -> str | None:
    """`*` is any; a weak tag never matches (RFC 9110, section 13.1.1), and neither do several."""
    if header is None or header.strip() == "*":
        return None
    return header.strip().removeprefix('"').removesuffix('"')
