"""`tollhouse up` as seen in a terminal: progress, the welcome, and why it ended."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rich.console import Console

from tollhouse.local.embedded_redis import EmbeddedRedisError
from tollhouse.local.envoy import EnvoyMissing
from tollhouse.local.ports import PortBusy
from tollhouse.local.processes import ChildError
from tollhouse.local.settings import UpSettings
from tollhouse.local.simulated import UnknownProvider
from tollhouse.local.sockets import SocketPathError
from tollhouse.local.up import Gateway, UpError
from tollhouse.policy.problems import PolicyError
from tollhouse.rendering import RenderError

_EXPLAINED = (
    ChildError,
    EmbeddedRedisError,
    EnvoyMissing,
    PolicyError,
    PortBusy,
    RenderError,
    SocketPathError,
    UnknownProvider,
    UpError,
)


def run_up(settings: UpSettings, out: Console, err: Console) -> int:
    """Runs until interrupted; the exit status."""
    try:
        gateway = Gateway(settings, lambda text: out.print(f"  {text}", markup=False))
        out.print("Tollhouse is starting …")
        asyncio.run(gateway.run(lambda facts: out.print(_welcome(facts), markup=False)))
    except _EXPLAINED as error:
        err.print(f"tollhouse up: {error}", markup=False)
        return 1
    out.print("Tollhouse has stopped.")
    return 0


def _welcome(facts: dict[str, Any]) -> str:
    keys = [f"  {name:<28} {key}" for name, key in facts["keys"].items()]
    places = {
        **({"console": facts["console"]} if facts["console"] else {}),
        "access log": facts["access_log"],
        "Envoy admin": facts["admin_endpoint"],
        **{f"metrics of {name}": url for name, url in facts["metrics"].items()},
    }
    lines = [
        "",
        f"Tollhouse is up: {facts['endpoint']}/v1",
        *(f"  {name:<28} {where}" for name, where in places.items()),
    ]
    if keys:
        lines += ["", "Demo keys (public, they work here only):", *keys]
        lines += ["", "Try it:", "", _curl(facts)]
    if facts["admin_token"]:
        lines += ["", f"Demo management token (public, too): {facts['admin_token']}"]
    lines += ["", "Edit a file in the policy tree and it is in force within 2 s. Ctrl-C stops all."]
    return "\n".join(lines)


def _curl(facts: dict[str, Any]) -> str:
    body = json.dumps(
        {"model": "gpt4_limited", "messages": [{"role": "user", "content": "Say hello"}]}
    )
    insecure = " -k" if facts["endpoint"].startswith("https") else ""
    return (
        f"curl{insecure} -s {facts['endpoint']}/v1/chat/completions \\\n"
        f"  -H 'authorization: Bearer {next(iter(facts['keys'].values()))}' \\\n"
        f"  -H 'content-type: application/json' \\\n"
        f"  -d '{body}'"
    )
