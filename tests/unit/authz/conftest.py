"""One compiled policy for all tests of authz_service: a snapshot never changes."""

import pytest

from tests.unit.authz.builders import snapshot_of
from tollhouse.policy.compiled import Snapshot


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(tmp_path_factory.mktemp("policies"))
