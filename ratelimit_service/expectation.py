"""What a call is expected to cost, for soft budgets: learned from what such calls cost. Pure.

Per key and alias, the share of its worst case that a call really cost, as an exponentially weighted
mean. Calls differ in size, and their worst cases with them, so the share says more than the cost.
It lives in memory: a service that starts expects the worst until it has seen some calls.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

_WEIGHT = 0.05  # of the newest call: some twenty calls back still count for a third
_ENOUGH_CALLS = 10
_MOST_PAIRS = 50_000  # of key and alias; some 10 MB


@dataclass(slots=True)
class _Share:
    mean: float
    calls: int


class Expectation:
    """The shares of all keys and aliases that were called of late, the oldest forgotten first."""

    def __init__(self) -> None:
        self._shares: OrderedDict[tuple[str, str], _Share] = OrderedDict()

    def learn(self, key_id: str, alias: str, cost: int, worst: int) -> None:
        """A call ended: it cost `cost` where `worst` was its worst case, both nano-dollars."""
        if worst <= 0:
            return
        share = self._shares.setdefault((key_id, alias), _Share(1.0, 0))
        share.mean += _WEIGHT * (min(cost / worst, 1.0) - share.mean)
        share.calls += 1
        self._shares.move_to_end((key_id, alias))
        if len(self._shares) > _MOST_PAIRS:
            self._shares.popitem(last=False)

    def cost(self, key_id: str, alias: str, worst: int) -> int:
        """Nano-dollars that a call with this worst case is expected to cost; never above it."""
        share = self._shares.get((key_id, alias))
        if share is None or share.calls < _ENOUGH_CALLS:
            return worst
        return min(math.ceil(share.mean * worst), worst)
