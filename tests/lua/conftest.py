"""One LuaJIT state for all tests here: what a worker serves after thousands of other requests."""

import pytest

from tests.lua.modules import Modules


@pytest.fixture(scope="session")
def modules() -> Modules:
    """The Lua modules, ready to call."""
    return Modules()
