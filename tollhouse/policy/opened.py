"""A policy with the files it was compiled from, for tools that show where something is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tollhouse.policy import loader
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import compile_tree, selectors_of
from tollhouse.policy.places import Places
from tollhouse.policy.selectors import Selectors


@dataclass(frozen=True, slots=True)
class OpenedPolicy:
    """`snapshot` decides; `selectors` say what an entry of a list stands for."""

    snapshot: Snapshot
    selectors: Selectors
    places: Places


def open_policy(directory: Path, *, allow_demo_keys: bool = False) -> OpenedPolicy:
    """Raises PolicyError."""
    tree = loader.load(directory)
    snapshot = compile_tree(tree, allow_demo_keys=allow_demo_keys)
    selectors, _ = selectors_of(tree)
    return OpenedPolicy(snapshot, selectors, Places(tree))
