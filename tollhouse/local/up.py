"""`tollhouse up`: the whole gateway on one machine, from start to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx

from tollhouse import demo
from tollhouse.local import console, envoy, ports, simulated
from tollhouse.local.embedded_redis import EmbeddedRedis
from tollhouse.local.processes import Child, ChildError, Children
from tollhouse.local.settings import RunDir, UpSettings
from tollhouse.local.sockets import socket_path
from tollhouse.policy.compiled import Provider, Snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.rendering import Address, EnvoySettings, TlsFiles, render
from tollhouse.rendering.acceptance import Confirmation, EnvoyAdmin

_READY_SECONDS = 30.0
# A service that runs says at once what it lacks; a Redis of one's own may still be starting.
_PROBLEM_SECONDS = 5.0
_POLL_SECONDS = 0.05

Say = Callable[[str], None]


class UpError(Exception):
    """The gateway cannot run; the message says why and what to do."""


class Gateway:
    """Everything that runs, in the order it is started."""

    def __init__(self, settings: UpSettings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._run = RunDir(settings.run_dir.resolve())
        self._children = Children(self._run.logs)
        self._simulator: str | None = None
        self._stand_ins = simulated.StandIns(self._run.simulator_key, self._run.simulator_keys)
        self._redis_url: str | None = None
        self._metrics: dict[str, str] = {}
        self._admin: envoy.Admin | None = None
        self._confirmation: Confirmation | None = None
        self._render_settings: EnvoySettings | None = None
        self._console: asyncio.Task[None] | None = None
        self._holder = PolicyHolder(PolicyDirectory(settings.policies, allow_demo_keys=True))

    async def run(self, ready: Callable[[dict[str, Any]], None]) -> None:
        """Until SIGINT or SIGTERM. Raises ChildError when a part ends by itself, UpError, …"""
        stop = _stop_on_signal()
        self._run.root.mkdir(parents=True, exist_ok=True)
        with _only_one(self._run):
            try:
                starting = asyncio.create_task(self._start())
                await _first(starting, stop.wait())
                if stop.is_set():
                    return
                ready(starting.result())
                async with self._following_policy():
                    if error := await _first(self._children.first_to_end(), stop.wait()):
                        raise error
            finally:
                self._run.up_json.unlink(missing_ok=True)
                await self._children.stop()

    async def _start(self) -> dict[str, Any]:
        ports.require_free(self._settings.port)
        for stale in self._run.root.glob("*.ready.json"):
            stale.unlink()
        redis_url = self._redis_url = await self._start_redis()
        counting = ("--redis-url", redis_url, "--state-dir", str(self._run.ratelimit_state))
        services = [self._service("authz"), self._service("ratelimit", *counting)]
        self._simulator, *_ = await asyncio.gather(self._start_simulator(), *services)
        self._start_console(self._holder.current)
        if self._console:
            await self._console
        await self._start_envoy()
        facts = await self._facts()
        self._run.up_json.write_text(json.dumps(facts, indent=2) + "\n")
        return facts

    async def _start_redis(self) -> str:
        if self._settings.redis_url:
            self._say("redis: the one at REDIS_URL")
            return self._settings.redis_url
        self._run.redis.mkdir(exist_ok=True)
        redis = EmbeddedRedis(self._run.redis)
        child = await self._children.start("redis", redis.command())
        await _until(child, redis.is_ready)
        self._say("redis: ready (embedded, append-only file)")
        return redis.url

    async def _service(self, name: str, *options: str) -> None:
        ready_file = self._run.ready_file(name)
        command = [
            *(sys.executable, "-m", f"{name}_service"),
            *("--policies", str(self._settings.policies.resolve())),
            *("--listen", f"unix:{socket_path(self._run.root, name)}"),
            *("--ready-file", str(ready_file)),
            *("--demo-keys", *options),
        ]
        child = await self._children.start(f"{name}_service", command)
        await _until(child, ready_file.exists)
        side_door = json.loads(ready_file.read_text())["metrics"]
        await self._until_ready(child, f"{side_door}/readyz")
        self._metrics[child.name] = f"{side_door}/metrics"
        self._say(f"{child.name}: ready")

    def _start_console(self, snapshot: Snapshot) -> None:
        """Once the policy has a management.yaml, now or by a later edit."""
        if snapshot.management is not None and self._console is None:
            self._console = asyncio.create_task(self._run_console())

    async def _run_console(self) -> None:
        doors = [url.removesuffix("/metrics") for url in self._metrics.values()]
        assert self._redis_url is not None  # noqa: S101 - set by _start
        command = console.command(self._settings, self._run, self._redis_url, doors)
        child = await self._children.start("console", command)
        ready_file = self._run.ready_file("console")
        await _until(child, ready_file.exists)
        side_door = json.loads(ready_file.read_text())["metrics"]
        self._metrics["console"] = f"{side_door}/metrics"
        self._say("console: ready")

    async def _until_ready(self, child: Child, url: str) -> None:
        deadline = time.monotonic() + _PROBLEM_SECONDS
        async with httpx.AsyncClient(trust_env=False) as client:
            while problems := (await client.get(url)).json()["problems"]:
                if time.monotonic() > deadline:
                    raise UpError(_not_ready(child, problems, self._settings.redis_url))
                await asyncio.sleep(_POLL_SECONDS)

    async def _start_simulator(self) -> str | None:
        played = simulated.chosen(self._holder.current.providers, self._settings.simulate)
        if not played:
            return None
        ready_file = self._run.ready_file("simulator")
        command = [
            *(sys.executable, "-m", "tollhouse.simulator", "--port", "0"),
            *(*self._stand_ins.begin(played), "--ready-file", str(ready_file)),
            *(["--record"] if self._settings.record else []),
        ]
        child = await self._children.start("simulator", command)
        await _until(child, ready_file.exists)
        for provider in played:
            self._say(
                f"SIMULATED: provider '{provider.name}' is played by the simulator, because "
                f"{self._why(provider)}. No real model answers."
            )
        return str(json.loads(ready_file.read_text())["url"])

    def _why(self, provider: Provider) -> str:
        if {provider.name, simulated.ALL} & set(self._settings.simulate):
            return "--simulate says so"
        return f"{provider.secret.location if provider.secret else 'its secret'} is not set"

    async def _start_envoy(self) -> None:
        self._render_settings = self._envoy_settings()
        self._render(self._holder.current)
        self._run.envoy_admin.unlink(missing_ok=True)
        child = await self._children.start(
            "envoy",
            envoy.command(
                self._run.envoy / "envoy.yaml", self._run.envoy_admin, self._settings.concurrency
            ),
        )
        self._admin = await envoy.Admin.wait(child, self._run.envoy_admin)
        asked = EnvoyAdmin(self._admin.url)
        refused = (await asyncio.to_thread(asked.state)).rejected
        if named := sorted(name for name, count in refused.items() if count):
            raise UpError(f"Envoy refused {', '.join(named)}.\n{child.last_words()}")
        self._confirmation = Confirmation(
            asked, self._say, lambda: f"Its last words:\n{child.last_words()}"
        )
        await self._wait_for_services(child)
        self._say(f"envoy: ready, with policy {self._holder.current.version}")

    async def _wait_for_services(self, child: Child) -> None:
        base = await self._endpoint()
        async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 - itself

            async def healthy() -> bool:
                return (await client.get(f"{base}/healthz")).status_code == 200

            await _until_async(child, healthy)

    def _envoy_settings(self) -> EnvoySettings:
        settings = self._settings
        tls = None
        if settings.tls_cert and settings.tls_key:
            tls = TlsFiles(settings.tls_cert.resolve(), settings.tls_key.resolve())
        return EnvoySettings(
            authz=Address(path=str(socket_path(self._run.root, "authz"))),
            ratelimit=Address(path=str(socket_path(self._run.root, "ratelimit"))),
            console=Address(path=str(socket_path(self._run.root, "console"))),
            access_log=self._run.access_log,
            listen=Address("127.0.0.1", settings.port),
            admin=Address("127.0.0.1", 0),
            tls=tls,
        )

    def _render(self, snapshot: Snapshot) -> None:
        assert self._render_settings is not None  # noqa: S101 - set before the first call
        self._render_settings.simulated.clear()
        if self._simulator:
            # A name that a later policy has no more is no reason to refuse it.
            asked = {simulated.ALL, *snapshot.providers} & set(self._settings.simulate)
            played = simulated.chosen(snapshot.providers, asked)
            self._render_settings.simulated.update(self._stand_ins.of(played, self._simulator))
        render(snapshot, self._render_settings, self._run.envoy)

    @contextlib.asynccontextmanager
    async def _following_policy(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(
            watch(self._holder, stop, on_success=self._adopt, on_failure=self._refuse)
        )
        try:
            yield
        finally:
            stop.set()
            await task
            if self._confirmation:
                await self._confirmation.close()

    def _adopt(self, snapshot: Snapshot) -> None:
        assert self._confirmation is not None  # noqa: S101 - set by _start_envoy
        before = self._confirmation.before()
        self._start_console(snapshot)
        self._render(snapshot)
        self._say(f"policy {snapshot.version} is in force")
        self._confirmation.begin(snapshot.version, before)

    def _refuse(self, error: PolicyError) -> None:
        self._say(f"policy refused, the last good one stays in force:\n{error}")

    async def _endpoint(self) -> str:
        assert self._admin is not None  # noqa: S101 - set by _start_envoy
        scheme = "https" if self._settings.tls_cert else "http"
        return f"{scheme}://127.0.0.1:{await self._admin.listener_port()}"

    async def _facts(self) -> dict[str, Any]:
        assert self._admin is not None  # noqa: S101 - set by _start_envoy
        known = self._holder.current.keys
        endpoint = await self._endpoint()
        return {
            "endpoint": endpoint,
            **console.facts(self._holder.current, endpoint),
            "admin_endpoint": self._admin.url,
            "metrics": {**self._metrics, "envoy": f"{self._admin.url}/stats/prometheus"},
            "access_log": str(self._run.access_log),
            "audit_log": str(self._run.console_state / "audit.json"),
            "policies": str(self._settings.policies.resolve()),
            # The address of another's may hold its password.
            "redis_url": None if self._settings.redis_url else self._redis_url,
            "keys": {name: key for name, key in demo.DEMO_KEYS.items() if _is_demo(known, name)},
            "simulator": self._simulator,
        }


def _is_demo(known: Any, key_id: str) -> bool:
    return key_id in known and known[key_id].sha256 in demo.DEMO_HASHES


def _not_ready(child: Child, problems: dict[str, str], redis_url: str | None) -> str:
    reasons = "; ".join(f"{part}: {reason}" for part, reason in problems.items())
    # The URL itself may hold a password.
    hint = " Is the Redis of --redis-url (or REDIS_URL) running?" if redis_url else ""
    return f"{child.name} is not ready: {reasons}.{hint}\n{child.last_words()}"


async def _first(*awaitables: Any) -> Any:
    """The result of whichever is done first; the others are cancelled."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        result = done.pop().result()
        return result if isinstance(result, Exception) else None
    finally:
        for task in tasks:
            task.cancel()


async def _until(child: Child, condition: Callable[[], bool]) -> None:
    async def asked() -> bool:
        return condition()

    await _until_async(child, asked)


async def _until_async(child: Child, condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not await condition():
        if child.process.returncode is not None:
            raise ChildError(f"{child.name} did not start.\n{child.last_words()}")
        if time.monotonic() > deadline:
            raise ChildError(
                f"{child.name} was not ready in {_READY_SECONDS:.0f} s.\n{child.last_words()}"
            )
        await asyncio.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _only_one(run: RunDir) -> Iterator[None]:
    with (run.root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UpError(
                f"another gateway runs in {run.root}: stop it, or give this one --run-dir DIR "
                "(and --port N)."
            ) from None
        yield


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    return stop
