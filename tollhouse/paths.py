"""Where the data files are: in a checkout beside the packages, in a wheel inside this one."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent


def _envoy_dir() -> Path:
    # Another folder can be named: a site's own copy, or a test's, broken on purpose.
    if named := os.environ.get("TOLLHOUSE_ENVOY_DIR"):
        return Path(named)
    checkout = _CHECKOUT / "envoy"
    return checkout if (checkout / "envoy.yaml").exists() else _PACKAGE / "_envoy"


ENVOY_DIR = _envoy_dir()
EXAMPLE_POLICIES = _CHECKOUT / "policies"
