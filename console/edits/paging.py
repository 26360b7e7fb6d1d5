"""Pages of lists: `after` is where the page before ended, so that none is seen twice or missed
when others come and go. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from console.problems import ManageError

T = TypeVar("T")
Order = tuple[str, ...]


def page(
    found: Iterable[T], order: Callable[[T], Order], limit: int, after: str | None
) -> tuple[list[T], str | None]:
    """The items of one page, sorted, and `after` of the next, None where there is none.

    Raises:
        ManageError: `invalid_request` for an `after` that no answer had.
    """
    begin = None if after is None else _decoded(after)
    ordered = sorted((order(item), index, item) for index, item in enumerate(found))
    left = [each for each in ordered if begin is None or each[0] > begin]
    shown = left[:limit]
    more = _encoded(shown[-1][0]) if len(left) > limit else None
    return [item for _, _, item in shown], more


def _encoded(order: Order) -> str:
    return base64.urlsafe_b64encode(json.dumps(order).encode()).decode().rstrip("=")


def _decoded(after: str) -> Order:
    try:
        parts = json.loads(base64.urlsafe_b64decode(after + "=" * (-len(after) % 4)))
        if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
            return tuple(parts)
    except (ValueError, RecursionError):
        pass
    message = "'after' is not a `next` of an answer: begin without it"
    raise ManageError("invalid_request", message, param="after")
