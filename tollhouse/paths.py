"""Where the data files are: in a checkout beside the packages, in a wheel inside this one."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent

ENVOY_DIR = (
    _CHECKOUT / "envoy" if (_CHECKOUT / "envoy/envoy.yaml").exists() else _PACKAGE / "_envoy"
)
EXAMPLE_POLICIES = _CHECKOUT / "policies"
