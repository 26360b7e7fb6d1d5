"""Metrics with labels, looked up quickly."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Child = TypeVar("_Child")


class Labelled(dict[tuple[str, ...], _Child]):
    """A metric by the values of its labels. Its `labels()` takes longer than the counting itself,
    so what it finds is kept."""

    def __init__(self, labels: Callable[..., _Child]) -> None:
        super().__init__()
        self._labels = labels

    def __missing__(self, values: tuple[str, ...]) -> _Child:
        found = self[values] = self._labels(*values)
        return found
