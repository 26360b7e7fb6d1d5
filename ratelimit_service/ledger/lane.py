"""Script calls that arrive together go to the store together.

One pipeline is under way at a time, and what arrives meanwhile shares the next, most of it in one
run of its script (joining.py): under load the pipelines grow by themselves, each call costs less,
and a lone call waits for nobody.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.joining import run_joined
from ratelimit_service.ledger.scripts import ScriptCall
from ratelimit_service.ledger.store import (
    STORE_ERRORS,
    ClusterClient,
    StoreClient,
    is_outage,
    look_again,
    places,
    sees_one_slot,
    translated,
)

# Some ten milliseconds of the store's time, which is what a call may find in front of it.
_SHARED_AT_MOST = 64
_LOOK_SECONDS = 1.0
_TRIED_EVERY_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Group:
    """The calls of one caller, answered together."""

    calls: Sequence[ScriptCall]
    replies: asyncio.Future[list[object]]


class ScriptLane:
    """A queue of script calls in front of one server, first come first served."""

    def __init__(self, client: StoreClient, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._waiting: deque[_Group] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._away_until = 0.0  # event loop's time; 0 while the server is well

    def try_again(self) -> None:
        """Ask the server with the next call, though it was away a moment ago."""
        self._away_until = min(self._away_until, asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End what is looked up beside the calls."""
        if self._looking:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def run(self, calls: Sequence[ScriptCall]) -> list[object]:
        """The replies of `calls`, in order, within the lane's timeout.

        Raises LedgerError for the first call that failed; the others may have been done. Calls
        whose caller is gone before they are sent are not sent. While the server is away, one call
        every tenth of a second finds out whether it is back; the others fail at once.
        """
        self._require_hope()
        group = _Group(calls, asyncio.get_running_loop().create_future())
        self._waiting.append(group)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        # Half the work of asyncio.timeout, and every call has one.
        loop = asyncio.get_running_loop()
        deadline = loop.call_later(self._timeout, _give_up, group.replies)
        try:
            return await group.replies
        finally:
            deadline.cancel()

    def _require_hope(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._away_until:
            raise LedgerUnavailable("the store is unavailable (it was, a moment ago)")
        if self._away_until:
            self._away_until = now + _TRIED_EVERY_SECONDS

    async def _work(self) -> None:
        try:
            while self._waiting:
                await self._serve(self._next_groups())
        finally:
            self._worker = None

    def _next_groups(self) -> list[_Group]:
        groups: list[_Group] = []
        room = _SHARED_AT_MOST
        while self._waiting and (not groups or len(self._waiting[0].calls) <= room):
            group = self._waiting.popleft()
            if not group.replies.done():
                groups.append(group)
                room -= len(group.calls)
        return groups

    async def _serve(self, groups: list[_Group]) -> None:
        calls = [call for group in groups for call in group.calls]
        try:
            async with asyncio.timeout(self._timeout):
                replies = await run_joined(self._client, calls)
        except STORE_ERRORS as error:
            replies = [error] * len(calls)
        self._look_again(replies)
        at = 0
        for group in groups:
            _answer(group.replies, replies[at : at + len(group.calls)])
            at += len(group.calls)

    def _look_again(self, replies: list[object]) -> None:
        failures = (reply for reply in replies if isinstance(reply, Exception))
        failure = next((each for each in failures if is_outage(each)), None)
        if failure is None:
            self._away_until = 0.0
            return
        self._away_until = asyncio.get_running_loop().time() + _TRIED_EVERY_SECONDS
        if self._looking:
            return
        # Beside the calls: whoever waits for an answer of this node has waited enough.
        self._looking = asyncio.create_task(self._look(failure))

    async def _look(self, failure: Exception) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await look_again(self._client, failure)
        except STORE_ERRORS:
            pass
        finally:
            self._looking = None


class Lanes:
    """A lane for each node of the store, so that one which is away keeps no other waiting."""

    def __init__(self, client: StoreClient, timeout_seconds: float) -> None:
        self._client = client
        self._timeout = timeout_seconds
        self._lanes: dict[str, ScriptLane] = {}

    async def run(self, calls: Sequence[ScriptCall]) -> list[object]:
        """The replies of `calls`, in order, within twice the lanes' timeout.

        Raises LedgerError if a call failed; the others may have been done.
        """
        if not sees_one_slot(self._client):
            return await self._lane("").run(calls)
        at = await self._places(self._client, calls)
        names = list(dict.fromkeys(at))
        if len(names) == 1:
            return await self._lane(names[0]).run(calls)
        parts = {
            name: [call for call, place in zip(calls, at, strict=True) if place == name]
            for name in names
        }
        answers = await asyncio.gather(
            *(self._lane(name).run(part) for name, part in parts.items()), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        replies = {
            name: iter(cast("list[object]", answer))
            for name, answer in zip(parts, answers, strict=True)
        }
        return [next(replies[place]) for place in at]

    def try_again(self) -> None:
        """Ask every server with the next call: there is word that it may be back."""
        for lane in self._lanes.values():
            lane.try_again()

    async def close(self) -> None:
        """End what is looked up beside the calls."""
        for lane in self._lanes.values():
            await lane.close()

    def _lane(self, name: str) -> ScriptLane:
        if name not in self._lanes:
            self._lanes[name] = ScriptLane(self._client, self._timeout)
        return self._lanes[name]

    async def _places(self, client: ClusterClient, calls: Sequence[ScriptCall]) -> list[str]:
        try:
            async with asyncio.timeout(self._timeout):
                return await places(client, calls)
        except STORE_ERRORS as error:
            raise translated(error) from error


def _give_up(future: asyncio.Future[list[object]]) -> None:
    if not future.done():
        future.set_exception(translated(TimeoutError()))


def _answer(future: asyncio.Future[list[object]], replies: list[object]) -> None:
    if future.done():  # its caller has left
        return
    failure = next((reply for reply in replies if isinstance(reply, Exception)), None)
    if failure is None:
        future.set_result(replies)
    else:
        future.set_exception(translated(failure))
