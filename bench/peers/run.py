"""Starts the peers before the benchmark's upstream."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from functools import partial

import httpx

from bench import bodies, processes
from bench.parts import Parts
from bench.peers import install
from bench.targets import BEARER, KEY, PACED, PLAIN, Door, Target, gateway_doors
from tollhouse.local.processes import Child, ChildError

LITELLM, PORTKEY = "litellm", "portkey"
NAMES = (LITELLM, PORTKEY)
PATIENCE = {LITELLM: 2.5}
"""How much longer a run of one is, for it to answer anything over 256 connections."""

_MASTER_KEY = "sk-bench-master"
_PROVIDER_KEY = "bench-provider-key"
_START_SECONDS = 180.0
_POLL_SECONDS = 0.2
# Each of so many connections at once is new: workers take them as they can.
_AT_ONCE = 16
_ROUNDS_OF_ALL = 40
_WORKED_SECONDS = 0.1
_STARTS = 5
# A worker a core, as its documentation advises; Node.js has one thread for all that it does.
_WORKERS = os.cpu_count() or 1

_LITELLM_CONFIG = """\
model_list:
  - model_name: {plain}
    litellm_params: {{model: openai/bench-model-1, api_base: "{upstream}/v1", api_key: {key}}}
  - model_name: {paced}
    litellm_params: {{model: openai/bench-model-1, api_base: "{upstream}/paced/v1", api_key: {key}}}
general_settings: {{master_key: os.environ/LITELLM_MASTER_KEY, disable_spend_logs: true}}
litellm_settings: {{set_verbose: false, num_retries: 0, request_timeout: 60, telemetry: false}}
router_settings: {{num_retries: 0}}
"""


async def start(name: str, parts: Parts) -> Target:
    """Raises ChildError, InstallError."""
    return await (_litellm(parts) if name == LITELLM else _portkey(parts))


def prepare(name: str) -> None:
    """Installs it. Raises InstallError."""
    (install.litellm if name == LITELLM else install.portkey)()


async def _litellm(parts: Parts) -> Target:
    config = parts.root / "litellm.yaml"
    config.write_text(
        _LITELLM_CONFIG.format(
            plain=bodies.MODEL, paced=bodies.PACED, upstream=parts.upstream, key=_PROVIDER_KEY
        )
    )
    port = _free_port()
    command = [
        *(str(install.litellm()), "--config", str(config), "--host", "127.0.0.1"),
        *("--port", str(port), "--num_workers", str(_WORKERS)),
        # uvicorn's own supervisor ends workers that take more than five seconds to import it all.
        "--run_gunicorn",
    ]
    env = {
        "LITELLM_MASTER_KEY": _MASTER_KEY,
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched at every start
    }
    # The first start compiles what it imports, for the second.
    inherited = {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(_STARTS):
        child = await parts.children.start(LITELLM, command, {**inherited, **env})
        target = Target(
            LITELLM,
            gateway_doors(f"http://127.0.0.1:{port}"),
            _MASTER_KEY,
            partial(processes.used, child.process.pid, LITELLM),
        )
        await _ready(child, target)
        if await _all_work(child, target):
            return target
        await child.stop()
    raise ChildError(f"of {_STARTS} starts of {LITELLM} none had all its workers answer")


async def _portkey(parts: Parts) -> Target:
    port = _free_port()
    command = [*install.portkey(), "--headless", f"--port={port}"]
    env = {**os.environ, "NODE_ENV": "production"}
    child = await parts.children.start(PORTKEY, command, env)
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    doors = {
        name: Door(url, _portkey_headers(f"{parts.upstream}{path}/v1"))
        for name, path in ((PLAIN, ""), (PACED, "/paced"))
    }
    used = partial(processes.used, child.process.pid, PORTKEY)
    target = Target(PORTKEY, doors, _PROVIDER_KEY, used)
    await _ready(child, target)
    return target


def _portkey_headers(upstream: str) -> dict[str, str]:
    return BEARER | {"x-portkey-provider": "openai", "x-portkey-custom-host": upstream}


async def _ready(child: Child, target: Target) -> None:
    """Until it answers a chat."""
    door = target.doors[PLAIN]
    headers = {name: value.replace(KEY, target.key) for name, value in door.headers.items()}
    deadline = time.monotonic() + _START_SECONDS
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                answer = await client.post(door.url, headers=headers, content=bodies.chat())
                if answer.status_code == 200:
                    return
                why = f"answered {answer.status_code}"
            except httpx.HTTPError as error:
                why = type(error).__name__
            if child.process.returncode is not None or time.monotonic() > deadline:
                raise ChildError(f"{target.name} did not start ({why}).\n{child.last_words()}")
            await asyncio.sleep(_POLL_SECONDS)


async def _all_work(child: Child, target: Target) -> bool:
    """Whether every worker answers something.

    Now and then one hangs in its start-up: it waits for an import's lock that was held while it was
    forked. All that tells of it is that it does nothing; it is ended, for it outlives its parent.
    """
    before = processes.cpu_seconds(child.process.pid)
    for _ in range(_ROUNDS_OF_ALL):
        await asyncio.gather(*(_ready(child, target) for _ in range(_AT_ONCE)))
        now = processes.cpu_seconds(child.process.pid)
        idle = [pid for pid in now if now[pid] - before.get(pid, 0.0) < _WORKED_SECONDS]
        if not idle:
            return True
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
