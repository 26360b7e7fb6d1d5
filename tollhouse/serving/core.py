"""Settings of gRPC's core, which it reads from the environment, once, while it is imported."""

from __future__ import annotations

import os
import sys

_EXPERIMENTS = "GRPC_EXPERIMENTS"
# The asyncio server of grpcio polls for itself. Where the core's event engine listens, each call
# passes through a thread of that engine besides: some 25 % more CPU a call (docs/performance.md).
_WITHOUT_EVENT_ENGINE = "-event_engine_listener"


def configure() -> None:
    """Must be called before anything imports grpc. What the environment says already stays.

    Raises RuntimeError if it is too late.
    """
    if "grpc" in sys.modules:
        raise RuntimeError("grpc is imported already, and has read its settings")
    os.environ.setdefault(_EXPERIMENTS, _WITHOUT_EVENT_ENGINE)
