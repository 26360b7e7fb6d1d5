"""How `tollhouse up` runs the management console, where the policy has a management.yaml."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tollhouse.demo import DEMO_TOKEN_HASHES, DEMO_TOKENS
from tollhouse.local.settings import RunDir, UpSettings
from tollhouse.local.sockets import socket_path
from tollhouse.policy.compiled import Snapshot


def command(
    settings: UpSettings, run: RunDir, redis_url: str, services: Iterable[str]
) -> list[str]:
    """Its command line. `services`: the side doors of those that a write waits for."""
    return [
        *(sys.executable, "-m", "console"),
        *("--policies", str(settings.policies.resolve())),
        *("--listen", f"unix:{socket_path(run.root, 'console')}"),
        *("--ready-file", str(run.ready_file("console"))),
        *("--state-dir", str(run.console_state), "--redis-url", redis_url),
        *("--access-log", str(run.access_log), "--demo-keys"),
        *(word for each in services for word in ("--service", each)),
    ]


def facts(snapshot: Snapshot, endpoint: str) -> dict[str, Any]:
    """What up.json says of it: its pages, and the demo token where the policy accepts it."""
    if snapshot.management is None:
        return {"console": None, "admin_token": None}
    known = snapshot.management.tokens.values()
    demo = next((each.id for each in known if _is_demo_admin(each.sha256, each.role)), None)
    return {
        "console": f"{endpoint}/manage/ui",
        "admin_token": DEMO_TOKENS.get(demo) if demo else None,
    }


def _is_demo_admin(sha256: str, role: str) -> bool:
    return sha256 in DEMO_TOKEN_HASHES and role == "admin"
