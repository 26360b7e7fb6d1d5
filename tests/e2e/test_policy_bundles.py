"""Many replicas of one policy: what is published is in force at all of them within two seconds, and
what is in force survives the Redis that carried it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from tests.simulator import simulator_process
from tests.support import e2e_policy, parts
from tests.support.gateway import RUN_DIRS, wait_for
from tests.support.redis import RedisProcess
from tollhouse.bundles.publisher import Publisher
from tollhouse.bundles.signing import SigningKey
from tollhouse.bundles.store import BundleStore
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

REPLICAS = ("one", "two")
SECONDS = 2.0


class Site:
    """Two Envoys, each with an authz_service and a `tollhouse render` of its own, on one
    ratelimit_service. One Redis carries the bundles, another one the ledger."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bundles = RedisProcess(root / "bundles")
        self.ledger = RedisProcess(root / "ledger")
        self.policies = root / "policies"
        self.envoys: dict[str, httpx.Client] = {}
        self._running: dict[str, contextlib.ExitStack] = {}

    def start(self, name: str, module: str, *options: str) -> None:
        """Run a part that follows bundles."""
        self._running[name] = contextlib.ExitStack()
        command = [sys.executable, "-m", *module.split(), *options, *self._following(name)]
        self._running[name].enter_context(parts.process(self.root / "logs", name, command))

    def start_service(self, name: str, module: str, *options: str) -> None:
        """Run a service, and return when it answers."""
        ready = self._ready(name)
        ready.unlink(missing_ok=True)
        listen = ("--listen", f"unix:{self.root}/{name}.sock", "--ready-file", str(ready))
        self.start(name, module, *listen, *options)
        wait_for(ready.exists, name, 30)

    def stop(self, name: str) -> None:
        self._running.pop(name).close()

    def close(self) -> None:
        for name in list(self._running):
            self.stop(name)

    def _following(self, name: str) -> list[str]:
        return [
            *("--policy", "redis", "--policy-redis-url", self.bundles.url),
            *("--policy-cache", str(self.root / "cache" / name)),
            *("--policy-public-key", str(self.root / "signing" / "policy-signing.pub")),
        ]

    def _ready(self, name: str) -> Path:
        return self.root / f"{name}.ready.json"

    def side_door(self, name: str, path: str) -> httpx.Response:
        facts = json.loads(self._ready(name).read_text())
        return httpx.get(f"{facts['metrics']}{path}", trust_env=False)

    def metric(self, name: str, metric: str) -> float:
        families = text_string_to_metric_families(self.side_door(name, "/metrics").text)
        samples = [one for family in families for one in family.samples if one.name == metric]
        return samples[0].value

    def log_of(self, name: str) -> str:
        return (self.root / "logs" / f"{name}.log").read_text()

    def tollhouse(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "tollhouse", "policy", *words],
            capture_output=True,
            check=True,
            timeout=60,
        )

    def put(self, snapshot: Snapshot) -> int:
        """Publish without the time that a command takes to start; the serial."""
        key = SigningKey.read(self.root / "signing" / "policy-signing.key")
        with contextlib.closing(BundleStore(self.bundles.url, timeout_seconds=5)) as store:
            return Publisher(store, key, "test").publish(snapshot).header.serial

    def publish(self, **files: str) -> None:
        """Edit the tree and publish it, as its owner does."""
        for name, text in files.items():
            (self.policies / f"{name.replace('__', '/')}.yaml").write_text(text)
        signing = str(self.root / "signing" / "policy-signing.key")
        words = ("--policies", str(self.policies), "--redis-url", self.bundles.url)
        self.tollhouse("publish", *words, "--signing-key", signing)

    def statuses(self, key: str = "app", model: str = "chat") -> list[int]:
        """Of a call through each Envoy."""
        return [parts.chat(client, key, model).status_code for client in self.envoys.values()]

    def soon(self, condition: Callable[[], Any], what: str) -> float:
        """Milliseconds until it is so."""
        began = time.monotonic()
        wait_for(condition, what, SECONDS)
        return (time.monotonic() - began) * 1000


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("bundles")
    RUN_DIRS.append(root)
    site = Site(root)
    with contextlib.ExitStack() as stack:
        for redis in (site.bundles, site.ledger):
            _start_redis(redis, stack)
        simulator = stack.enter_context(simulator_process.running(root))
        parts.policies_of(root, simulator.url)
        site.tollhouse("keygen", "--out", str(root / "signing"))
        site.publish()
        stack.callback(site.close)
        site.start_service("ratelimit", "ratelimit_service", "--redis-url", site.ledger.url)
        for name in REPLICAS:
            site.start_service(f"authz-{name}", "authz_service")
            _render(site, name)
            site.envoys[name] = stack.enter_context(parts.envoy_of(root / f"envoy-{name}"))
        wait_for(lambda: site.statuses() == [200, 200], "both Envoys", 30)
        yield site


def _start_redis(redis: RedisProcess, stack: contextlib.ExitStack) -> None:
    Path(redis.url.removeprefix("unix://")).parent.mkdir(exist_ok=True)
    redis.start()
    stack.callback(redis.kill)


def _render(site: Site, name: str) -> None:
    out = site.root / f"envoy-{name}"
    site.start(
        f"render-{name}",
        "tollhouse render --watch",
        *("--out", str(out), "--access-log", str(out / "access.json")),
        *("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
        *("--authz", f"unix:{site.root}/authz-{name}.sock"),
        *("--ratelimit", f"unix:{site.root}/ratelimit.sock"),
    )
    wait_for((out / "rds.json").exists, "the first rendering", 30)


@pytest.fixture
def site(started: Site) -> Iterator[Site]:
    """With the policy as it was at first in force, and Redis up."""
    yield started
    started.publish(teams__web=e2e_policy.TEAM)
    wait_for(lambda: started.statuses() == [200, 200], "the first policy again", 10)


def blocking(key: str) -> str:
    return e2e_policy.TEAM.replace(f"- id: {key}\n", f"- id: {key}\n        blocked: true\n")


def test_a_blocked_key_is_refused_at_every_replica_within_two_seconds(site: Site) -> None:
    assert site.statuses("app") == [200, 200]
    (site.policies / "teams" / "web.yaml").write_text(blocking("app"))
    snapshot = load_snapshot(site.policies)
    began, serial = time.monotonic(), site.put(snapshot)
    site.soon(lambda: site.statuses("app") == [403, 403], "the refusal at both replicas")
    print(f"published and in force at both: {(time.monotonic() - began) * 1000:.0f} ms")
    everywhere = ("authz-one", "authz-two", "ratelimit")
    site.soon(
        lambda: {site.metric(name, "tollhouse_policy_serial") for name in everywhere} == {serial},
        "the same serial at all services",
    )


def test_envoys_routes_come_from_the_same_bundle(site: Site) -> None:
    providers = (site.policies / "providers.yaml").read_text()
    second = providers.replace("  openai:", "  second:", 1).removeprefix("providers:\n")
    models = (site.policies / "models.yaml").read_text()
    alias = "  moved:\n    provider: second\n    model: gpt-4o-mini\n    price: "
    site.publish(
        providers=providers + second,
        models=f"{models}{alias}{e2e_policy.PRICE}\n",
        teams__web=e2e_policy.TEAM.replace("[chat, ", "[chat, moved, ", 1),
    )
    try:
        took = site.soon(lambda: site.statuses(model="moved") == [200, 200], "the new provider")
        print(f"a new provider is called through both Envoys after {took:.0f} ms")
    finally:
        (site.policies / "providers.yaml").write_text(providers)
        (site.policies / "models.yaml").write_text(models)


def test_while_the_redis_of_bundles_is_away_calls_go_on_and_a_restart_keeps_the_policy(
    site: Site,
) -> None:
    site.publish(teams__web=blocking("narrow"))
    site.soon(lambda: site.statuses("narrow") == [403, 403], "the block")
    wait_for(lambda: site.metric("authz-two", "tollhouse_policy_cached") == 1, "the file")
    site.bundles.kill()
    try:
        for name in ("authz-one", "authz-two", "ratelimit"):
            site.soon(
                lambda name=name: site.metric(name, "tollhouse_policy_source_up") == 0, "the alarm"
            )
            assert site.side_door(name, "/readyz").status_code == 200
        site.stop("authz-two")
        began = time.monotonic()
        site.start_service("authz-two", "authz_service")
        print(f"authz was back from its disk after {time.monotonic() - began:.1f} s")
        assert "starting from the policy on disk" in site.log_of("authz-two")
        wait_for(lambda: site.statuses() == [200, 200], "both Envoys", 10)
        assert site.statuses("narrow") == [403, 403]
    finally:
        site.bundles.start()
    site.publish(teams__web=e2e_policy.TEAM)
    wait_for(lambda: site.statuses("narrow") == [200, 200], "what is published afterwards", 10)
    assert site.metric("authz-two", "tollhouse_policy_source_up") == 1


def test_what_somebody_else_puts_into_redis_is_refused_everywhere(site: Site) -> None:
    with Redis.from_url(site.bundles.url) as client:
        current = client.get("th:{policy}:current")
        content = client.hget("th:{policy}:bundles", current)
        forged = str(int(current) + 1)
        client.hset("th:{policy}:bundles", forged, content.replace(current, forged.encode()))
        client.set("th:{policy}:current", forged)
    for name in ("authz-one", "authz-two", "ratelimit"):
        site.soon(lambda name=name: site.metric(name, "tollhouse_policy_stale") == 1, "the refusal")
        assert f"{forged} in Redis is refused: its bytes are not those" in site.log_of(name)
    assert site.statuses() == [200, 200]


def test_no_log_and_no_file_of_a_replica_holds_the_signing_key(site: Site) -> None:
    pem = (site.root / "signing" / "policy-signing.key").read_bytes()
    secret = pem.splitlines()[1]
    files = [path for path in site.root.rglob("*") if path.is_file()]
    holding = {path.name for path in files if secret in path.read_bytes()}
    assert holding == {"policy-signing.key"}


@pytest.mark.parametrize("module", ["authz_service", "ratelimit_service"])
def test_a_service_without_redis_and_without_a_file_does_not_start_and_says_why(
    site: Site, module: str
) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", module, "--listen", f"unix:{site.root}/none.sock"),
            *("--policy", "redis", "--policy-redis-url", "redis://user:hidden@127.0.0.1:1"),
            *("--policy-cache", str(site.root / "nowhere" / "bundle")),
            *("--policy-public-key", str(site.root / "signing" / "policy-signing.pub")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"{module}: policy bundle: Redis cannot be used (ConnectionError); and there is no good "
        f"one in {site.root}/nowhere/bundle\n"
    )
