"""One simulator for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.simulator_process import Simulator, running


@pytest.fixture(scope="session")
def recording_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with running(tmp_path_factory.mktemp("simulator"), "--record") as simulator:
        yield simulator


@pytest.fixture
def simulator(recording_simulator: Simulator) -> Simulator:
    """The shared process, with clean books."""
    for book in ("requests", "bill", "faults", "leaks"):
        recording_simulator.http.delete(f"/_simulator/{book}").raise_for_status()
    return recording_simulator
