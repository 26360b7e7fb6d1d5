"""Which policy a call is counted by: the one under which authz_service granted it."""

from __future__ import annotations

import asyncio

from ratelimit_service.size import Call
from ratelimit_service.toll import Toll, Tolls
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.watch import PolicyHolder

# authz_service reads an edit when we do, give or take a little. Envoy waits for us 1 s: half of it
# goes to a call that cannot be counted otherwise.
_CATCH_UP_SECONDS = 0.3
_LAST_RESORT_SECONDS = 0.5


class UnknownGrant(Exception):
    """No policy that is known here has this key and this alias."""


class Policies:
    """Finds the snapshot for each call. The services reload one a moment after the other: a call
    granted under the policy before this one, or after it, is counted by that one."""

    def __init__(self, holder: PolicyHolder) -> None:
        self._holder = holder
        self._catching_up: asyncio.Future[None] | None = None
        self._missed = ""
        self._tolls = Tolls(holder.current)

    async def find(self, call: Call) -> Toll:
        """Raises UnknownGrant."""
        granted_by = self._holder.of_version(call.policy_version)
        if granted_by is None and call.policy_version != self._missed:
            await self._catch_up(_CATCH_UP_SECONDS)
            granted_by = self._holder.of_version(call.policy_version)
            # Another tree than ours, or a slower mount: asked for once, not at every call.
            self._missed = "" if granted_by else call.policy_version
        found = self._in(granted_by, call) or self._in(self._holder.current, call)
        if found is None:
            await self._catch_up(_LAST_RESORT_SECONDS)
            found = self._in(self._holder.current, call)
        if found is None:
            raise UnknownGrant("authz_service and ratelimit_service have different policies")
        return found

    def _in(self, snapshot: Snapshot | None, call: Call) -> Toll | None:
        if snapshot is None:
            return None
        current = self._holder.current
        if self._tolls.snapshot is not current:
            self._tolls = Tolls(current)
        # Few calls come after their policy was replaced: what they need is kept for none of them.
        tolls = self._tolls if snapshot is current else Tolls(snapshot)
        return tolls.find(call.key_id, call.alias)

    async def _catch_up(self, seconds: float) -> None:
        """One reading for all that wait."""
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.ensure_future(asyncio.to_thread(self._holder.refresh))
        await asyncio.wait([self._catching_up], timeout=seconds)
