"""One gateway, and one process of each client, for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import policy
from tests.clients.client import Client, started
from tests.support.gateway import Gateway, running


@pytest.fixture(scope="session")
def clients_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="session")
def clients_gateway(clients_root: Path) -> Iterator[Gateway]:
    with running(policy.write(clients_root / "policies"), clients_root / "run") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(
    request: pytest.FixtureRequest, clients_gateway: Gateway, clients_root: Path
) -> Iterator[Client]:
    """The client that the test's module names in `CLIENT`."""
    name = request.module.CLIENT
    with started(name, clients_gateway, clients_root / name) as client:
        yield client
