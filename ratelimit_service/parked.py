"""What Redis did not take, in a queue for each set of slots: one that waits holds up no other."""

from __future__ import annotations

import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from ratelimit_service.ledger.types import Withdrawal
from ratelimit_service.settlement import Entry

Ended = Entry | Withdrawal
"""What ends a reservation."""

# About 200 MB of entries. What finds no room is still in the access log file.
_MOST_IN_MEMORY = 200_000


class Parked(Protocol):
    """Queues by name, each first in, first out. `waiting`: how many there are in all. `on_disk`:
    whether they outlive the service."""

    on_disk: bool

    @property
    def waiting(self) -> int: ...

    def put(self, ended: Iterable[Ended]) -> int:
        """Append; returns how many found no room."""
        ...

    def queues(self) -> list[str]:
        """Those in which something waits."""
        ...

    def first(self, queue: str, most: int) -> Sequence[Ended]:
        """Those that wait longest; the same again until `drop`."""
        ...

    def drop(self, queue: str) -> None:
        """Forget what `first` gave last of this queue."""
        ...


def queue_of(ended: Ended) -> str:
    """Of a cluster, a part may be away: what needs the same slots waits together."""
    slots = ended.slots if isinstance(ended, Entry) else (slot.tag for slot in ended.slots)
    names = ",".join(slot.partition("|")[0] for slot in slots)
    return f"waiting-{hashlib.sha256(names.encode()).hexdigest()[:16]}"


class ParkedInMemory:
    """Ends with the service; entries are in the access log file all the same."""

    on_disk = False

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[Ended]] = defaultdict(deque)
        self._given: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """How many there are in all."""
        return sum(map(len, self._queues.values()))

    def put(self, ended: Iterable[Ended]) -> int:
        """Append; returns how many found no room."""
        each = list(ended)
        room = max(_MOST_IN_MEMORY - self.waiting, 0)
        for one in each[:room]:
            self._queues[queue_of(one)].append(one)
        return len(each[room:])

    def queues(self) -> list[str]:
        """Those in which something waits."""
        return list(self._queues)

    def first(self, queue: str, most: int) -> list[Ended]:
        """Those that wait longest; the same again until `drop`."""
        waiting = self._queues[queue]
        self._given[queue] = min(most, len(waiting))
        return [waiting[place] for place in range(self._given[queue])]

    def drop(self, queue: str) -> None:
        """Forget what `first` gave last of this queue."""
        for _ in range(self._given.pop(queue, 0)):
            self._queues[queue].popleft()
        if not self._queues[queue]:
            del self._queues[queue]
