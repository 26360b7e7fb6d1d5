"""A policy directory with the use cases over it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tests.unit.console.edits.builders import MANAGEMENT, MODELS, OPS, ORG, WEB, Managed


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_tree(
        tmp_path / "policies",
        org=ORG,
        models=MODELS,
        teams__web=WEB,
        teams__ops=OPS,
        management=MANAGEMENT,
    )


@pytest.fixture
def managed(directory: Path) -> Managed:
    return Managed(directory)


@pytest.fixture
def files(directory: Path) -> Callable[[], dict[str, bytes]]:
    """All files but the lock, to be compared."""

    def read() -> dict[str, bytes]:
        return {
            str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file() and path.name != ".tollhouse.lock"
        }

    return read
