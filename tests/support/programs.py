"""Programs that tests run and that no Python package brings."""

from __future__ import annotations

import os
import shutil

import pytest


def required(name: str, package: str) -> str:
    """The path of a program. Where it is missing the test is skipped and says how to get it; in CI,
    where nothing may be skipped, it fails."""
    found = shutil.which(name)
    if found:
        return found
    message = f"{name} is missing: apt install --no-install-recommends {package}"
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
