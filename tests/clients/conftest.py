"""One gateway, and one process of each client, for all of these tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
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


@pytest.fixture(scope="session")
def start_client(clients_gateway: Gateway, clients_root: Path) -> Iterator[Callable[[str], Client]]:
    """Starts a client that is asked for by its name, once."""
    with contextlib.ExitStack() as stack:

        @cache
        def start(name: str) -> Client:
            return stack.enter_context(started(name, clients_gateway, clients_root / name))

        yield start


@pytest.fixture
def client(request: pytest.FixtureRequest, start_client: Callable[[str], Client]) -> Client:
    """The client that the test's module names in `CLIENT`."""
    return start_client(request.module.CLIENT)
