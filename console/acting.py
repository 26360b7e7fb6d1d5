"""One request to the console, over the API or on a page: who asks, and what they write."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from console import request as requests
from console.actors import Actor
from console.edits.policy import Policy
from console.identity.asking import Asking
from console.permissions import Action, may, require
from console.problems import ManageError
from console.request import RequestFacts
from console.services import Services
from tollhouse import contract
from tollhouse.policy.compiled import Snapshot

T = TypeVar("T")


@dataclass(slots=True)
class Acting:
    """`policy` is what the request is answered by, the same to its end; `now` is seconds since the
    epoch. `in_force`, after a write: whether the gateway goes by it; None where that is unknown.
    `is_recorded`: a refusal of it is in the audit log.
    """

    services: Services
    actor: Actor
    policy: Policy
    facts: RequestFacts
    now: float
    in_force: bool | None = None
    is_recorded: bool = False

    @property
    def snapshot(self) -> Snapshot:
        """The policy, compiled."""
        return self.policy.snapshot

    def may(self, action: Action, team: str | None = None) -> bool:
        """Whether the actor may."""
        return may(self.actor, action, team)

    def require(self, action: Action, team: str | None = None) -> None:
        """Raises ManageError `role_not_allowed`."""
        require(self.actor, action, team)

    async def write(self, action: str, target: str, work: Callable[[], T]) -> T:
        """Do it, and wait until the gateway goes by it, so that what is told next is true.

        A refusal is recorded: `action` and `target` (KIND:NAME) are what the audit log calls it.
        Raises ManageError.
        """
        try:
            # Writers wait for each other: not in the threads that tell who asks.
            context = contextvars.copy_context()
            pool, loop = self.services.writers, asyncio.get_running_loop()
            done = await loop.run_in_executor(pool, context.run, work)
        except ManageError as error:
            await self.record_refusal(action, target, error)
            raise
        if self.facts.written is not None:
            waiting = self.services.in_force.wait(self.facts.written, self.services.now())
            self.in_force = await waiting
        return done

    async def record_refusal(self, action: str, target: str, error: ManageError) -> None:
        """In the audit log, once. Raises ManageError `audit_unavailable`."""
        self.is_recorded = True
        record = self.services.recording.refused
        await asyncio.to_thread(record, self.actor, action, target, error)


async def acting(services: Services, request: Request) -> Acting:
    """Who asks. Raises ManageError: invalid_token, token_expired, proxy_key_not_accepted, …"""
    facts, now = note_facts(request), services.now()
    policy = await asyncio.to_thread(services.reader.now)
    actor = services.identity.actor(asking(request), policy.snapshot, now)
    return Acting(services, actor, policy, facts, now)


def note_facts(request: Request) -> RequestFacts:
    """For the audit log: where this request is from."""
    facts = RequestFacts(
        client_address=request.headers.get(contract.CLIENT_ADDRESS_HEADER),
        request_id=request.headers.get(contract.REQUEST_ID_HEADER),
    )
    requests.CURRENT.set(facts)
    return facts


def asking(request: Request) -> Asking:
    """What a request says of its sender."""
    return Asking(request.method, request.headers, request.cookies)
