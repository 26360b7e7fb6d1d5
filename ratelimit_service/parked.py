"""What Redis did not take: it waits in memory, or on disk where there is a spool."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ratelimit_service.ledger.types import Withdrawal
from ratelimit_service.settlement import Entry, UnansweredEntry
from ratelimit_service.spool import Spool

Ended = Entry | UnansweredEntry | Withdrawal
"""What ends a reservation."""

# About 200 MB of entries. What finds no room is still in the access log file.
_MOST_IN_MEMORY = 200_000


class Parked:
    """First in, first out. Only entries go to disk: what was never sent ends by its lease at worst,
    and costs nothing to forget."""

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self._memory: deque[Ended] = deque()
        self._given = 0

    @property
    def waiting(self) -> int:
        """How many there are."""
        return len(self._memory) + (self._spool.waiting if self._spool else 0)

    @property
    def on_disk(self) -> bool:
        """Whether they outlive the service."""
        return self._spool is not None

    def put(self, ended: Sequence[Ended]) -> int:
        """Append; returns how many found no room."""
        refused = 0
        if self._spool:
            refused = self._spool.put(each for each in ended if isinstance(each, Entry))
            ended = [each for each in ended if not isinstance(each, Entry)]
        room = max(_MOST_IN_MEMORY - len(self._memory), 0)
        self._memory.extend(ended[:room])
        return refused + len(ended[room:])

    def first(self, most: int) -> list[Ended]:
        """Those that wait longest, of memory and of disk; the same again until `drop`."""
        self._given = min(most, len(self._memory))
        in_memory = [self._memory[place] for place in range(self._given)]
        return [*in_memory, *(self._spool.first(most) if self._spool else [])]

    def drop(self) -> None:
        """Forget what `first` gave last."""
        for _ in range(self._given):
            self._memory.popleft()
        if self._spool:
            self._spool.drop()
