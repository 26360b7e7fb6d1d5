"""Warnings about single keys."""

from __future__ import annotations

from collections.abc import Iterator
from zoneinfo import ZoneInfo

from tollhouse.policy.teams import expiry_moment
from tollhouse.policy.warnings.view import Node, View, Warned

_SOON_SECONDS = 14 * 86_400


def warnings_of(view: View) -> Iterator[Warned]:
    """Keys that can do nothing, or soon cannot."""
    for node in view.nodes:
        if node.key is not None:
            if not view.models(node):
                yield node.warn("key-without-models", f"{node.where} can call no model", "id")
            yield from _expiry(view, node)
            yield from _previous(view, node)


def _expiry(view: View, node: Node) -> Iterator[Warned]:
    assert node.key is not None  # noqa: S101 - asked for keys only
    moment = view.snapshot.keys[node.key.id].expires_at
    if moment is None:
        return
    left = moment - view.now.timestamp()
    if left <= 0:
        message = f"{node.where} is expired: remove it, or give it a later date"
        yield node.warn("key-expired", message, "expires")
    elif left <= _SOON_SECONDS:
        yield node.warn("key-expires-soon", f"{node.where} expires within 14 days", "expires")


def _previous(view: View, node: Node) -> Iterator[Warned]:
    assert node.key is not None  # noqa: S101 - asked for keys only
    for index, old in enumerate(node.key.previous):
        moment = expiry_moment(old.valid_until, ZoneInfo(view.snapshot.org.time_zone))
        if moment is not None and moment <= view.now.timestamp():
            message = f"what {node.where} was before is no longer valid: remove these lines"
            yield node.warn("previous-key-expired", message, "previous", index, "valid_until")
