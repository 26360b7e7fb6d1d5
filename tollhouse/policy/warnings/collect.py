"""All warnings of a policy."""

from __future__ import annotations

from datetime import datetime

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.tree import PolicyTree
from tollhouse.policy.warnings import fallbacks, keys, limits, lists
from tollhouse.policy.warnings.view import View, Warned


def warnings_of(tree: PolicyTree, snapshot: Snapshot, now: datetime) -> list[Warned]:
    """Sorted by file and position. `now` is an aware datetime."""
    view = View(tree, snapshot, now)
    kinds = (fallbacks, keys, limits, lists)
    return sorted(found for kind in kinds for found in kind.warnings_of(view))
