"""The management API on a small tree, with a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import console
from tests.support.console import Api
from tests.support.policy import TREE, write_tree
from tests.support.redis import redis_url

__all__ = ["redis_url"]

OPS = """\
team: ops
projects:
  backup:
    allowed_models: [small]
    keys: []
"""


MODELS = TREE["models.yaml"] + "  spare: {provider: openai, model: gpt-4o-mini}\n"


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """Teams web (project site, key web-1) and ops (project backup); models small and spare."""
    return write_tree(
        tmp_path / "policies", management=console.MANAGEMENT, teams__ops=OPS, models=MODELS
    )


@pytest.fixture
async def api(policies: Path, tmp_path: Path, redis_url: str) -> AsyncIterator[Api]:
    built = console.services(policies, tmp_path / "state", redis_url)
    async with console.api(built) as client:
        yield client
