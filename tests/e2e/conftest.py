"""One gateway for all end-to-end tests that only use it; those that break things start their
own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import e2e_policy, matrix
from tests.support.gateway import Gateway, running


@pytest.fixture(scope="session")
def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("gateway")
    with running(e2e_policy.write(root / "policies"), root / "run") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def shared_breakable_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("breakable")
    with running(e2e_policy.write(root / "policies"), root / "run") as gateway:
        yield gateway


@pytest.fixture
def breakable_gateway(shared_breakable_gateway: Gateway) -> Gateway:
    """Another one, whose parts a test may freeze with `Gateway.frozen`."""
    shared_breakable_gateway.forget()
    return shared_breakable_gateway


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """The shared gateway, with the simulator's records cleared."""
    shared_gateway.forget()
    return shared_gateway


@pytest.fixture(scope="session")
def matrix_gateway(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Gateway]:
    """The gateway of the table of endpoints (tests.support.matrix), which it prints at its end."""
    root = tmp_path_factory.mktemp("matrix")
    with running(matrix.write(root / "policies"), root / "run") as gateway:
        yield gateway
        assert gateway.leaks() == []
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{matrix.summary()}")


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    """A policy tree of the test's own, to be edited and given to `running`."""
    return e2e_policy.write(tmp_path / "policies")


LAST = "test_no_leaks.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What reads all that the others left behind comes last, wherever it was found."""
    items.sort(key=lambda item: item.path.name == LAST)
