"""A whole gateway for a test: `tollhouse up` as its user starts it, with its real parts.

`Gateway` is the running thing and what a test asks of it; `running` starts and stops one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import redis

from tollhouse import keys
from tollhouse.local.embedded_redis import EmbeddedRedis

T = TypeVar("T")

START_SECONDS = 60.0
_POLL_SECONDS = 0.02
# What would make a test depend on its machine: real providers, a shared Redis.
_UNSET = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "MISTRAL_API_KEY",
    "INTERNAL_API_KEY",
    "REDIS_URL",
)


def test_key(name: str) -> str:
    """The key that the test policies know under `name`; the same in every run."""
    return keys.with_checksum(name.replace("-", "").ljust(32, "0")[:32])


test_key.__test__ = False  # type: ignore[attr-defined]  # not a test, whatever its name


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 10.0) -> T:
    """The first true value of `condition`; fails saying what never came."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"{what} did not happen within {seconds} s")


@dataclass(frozen=True)
class Received:
    """One request as it reached the simulated provider."""

    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes
    provider_key_ok: bool

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)


class Gateway:
    """A running gateway. `up` is its up.json."""

    def __init__(self, process: subprocess.Popen[str], run_dir: Path, up: dict[str, Any]) -> None:
        self.process = process
        self.run_dir = run_dir
        self.up = up
        self.endpoint: str = up["endpoint"]
        self.http = httpx.Client(base_url=self.endpoint, timeout=30, trust_env=False)
        self._simulator = httpx.Client(
            base_url=up["simulator"] or "http://127.0.0.1:9", timeout=10, trust_env=False
        )
        self._clients: list[openai.OpenAI] = []

    def client(self, key_name: str, **options: Any) -> openai.OpenAI:
        """The real SDK, as an application would make it (without its automatic retries)."""
        client = openai.OpenAI(
            api_key=test_key(key_name),
            base_url=f"{self.endpoint}/v1",
            **{"max_retries": 0, **options},
        )
        self._clients.append(client)
        return client

    def async_client(self, key_name: str, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(
            api_key=test_key(key_name),
            base_url=f"{self.endpoint}/v1",
            **{"max_retries": 0, **options},
        )

    def post(
        self,
        path: str,
        body: bytes | dict[str, Any],
        key_name: str | None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A raw POST; a dict is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **(headers or {})}
        if key_name is not None:
            sent["authorization"] = f"Bearer {test_key(key_name)}"
        return self.http.post(path, content=content, headers=sent)

    def chat(
        self, key_name: str | None, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        """A small chat call; `model` defaults to `chat`, other fields go into the body."""
        messages = [{"role": "user", "content": "Say hello"}]
        body = {"model": "chat", "messages": messages, **fields}
        return self.post("/v1/chat/completions", body, key_name, headers)

    # What it left behind

    def log_lines(self) -> list[dict[str, Any]]:
        """Every line of the access log so far."""
        path = Path(self.up["access_log"])
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def log_line(self, request_id: str) -> dict[str, Any]:
        """The access-log line of one request, waited for."""

        def find() -> dict[str, Any] | None:
            lines = self.log_lines()
            return next((line for line in lines if line.get("request_id") == request_id), None)

        return wait_for(find, f"the log line of {request_id}")

    def metric(self, service: str, name: str, **labels: str) -> float:
        """The sum of the samples of a metric whose labels include `labels`; 0 where there are
        none."""
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

        text = httpx.get(self.up["metrics"][service], trust_env=False).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_settled(self, count: float) -> None:
        """Until that many requests in all have been settled."""
        wait_for(
            lambda: self.metric("ratelimit_service", "tollhouse_settlements_total") >= count,
            f"settlement number {count:.0f}",
        )

    def settled(self, request_id: str) -> dict[str, Any]:
        """The access-log line of one request, once it and all logged before it are settled."""
        line = self.log_line(request_id)
        admitted = [
            one for one in self.log_lines() if "reservation_id" in one.get("reservation", {})
        ]
        self.wait_settled(len(admitted))
        return line

    def stderr_of(self, part: str) -> str:
        """The log of authz_service, ratelimit_service, envoy, redis or simulator."""
        return (self.run_dir / "logs" / f"{part}.log").read_text()

    # The provider's side

    def received(self) -> list[Received]:
        """What the simulated provider has received since `forget`."""
        return [
            Received(
                path=one["path"],
                query=one["query"],
                headers=[(name, value) for name, value in one["headers"]],
                body=base64.b64decode(one["body_base64"]),
                provider_key_ok=one["provider_key_ok"],
            )
            for one in self._simulator.get("/_simulator/requests").json()
        ]

    def bill(self) -> dict[str, Any]:
        """What the simulated provider would bill since `forget`."""
        bill: dict[str, Any] = self._simulator.get("/_simulator/bill").json()
        return bill

    def forget(self) -> None:
        """Clears the simulator's records."""
        self._simulator.delete("/_simulator/requests").raise_for_status()
        self._simulator.delete("/_simulator/bill").raise_for_status()

    @contextlib.contextmanager
    def fault(self, directive: str, provider: str | None = None) -> Iterator[None]:
        """For a with-block, what one simulated provider (or all) does with every request."""
        asked = {"x-simulate": directive, "provider": provider}
        self._simulator.put("/_simulator/faults", json=asked).raise_for_status()
        try:
            yield
        finally:
            self._simulator.delete("/_simulator/faults").raise_for_status()

    def leaks(self) -> list[dict[str, Any]]:
        """Whose credential reached another provider, since the start: it must never."""
        found: list[dict[str, Any]] = self._simulator.get("/_simulator/leaks").json()
        return found

    # Its parts

    def pid_of(self, part: str) -> int:
        """The process id of a child, by the program it runs (e.g. "ratelimit_service", "envoy")."""
        listing = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],  # noqa: S607
            capture_output=True,
            text=True,
            check=True,
        )
        for line in listing.stdout.splitlines():
            pid, _, arguments = line.strip().partition(" ")
            program = arguments.split(" --")[0].split(" -c ")[0]
            if part in program:
                return int(pid)
        raise AssertionError(f"no child runs {part}")

    @contextlib.contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """The child hangs (SIGSTOP) for the length of a with-block; then waits until all is
        well."""
        pid = self.pid_of(part)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
        wait_for(lambda: self.http.get("/healthz").status_code == 200, "recovery")

    def require_nothing_held(self) -> None:
        """Every reservation of every test must have ended by now, but for those of calls that
        still end. Where a test has taken the gateway down there is nothing to ask."""
        socket = EmbeddedRedis(self.run_dir / "redis")
        if self.process.poll() is not None or not socket.is_ready():
            return
        with redis.Redis.from_url(socket.url, decode_responses=True) as ledger:
            wait_for(
                lambda: not list(ledger.scan_iter("th:*:holds")),
                f"the end of every reservation in {self.run_dir}",
            )

    def keep_metrics(self) -> None:
        """Writes what every metrics page says now beside the logs, to be read after the end."""
        folder = self.run_dir / "metrics"
        folder.mkdir(exist_ok=True)
        for part, url in self.up["metrics"].items():
            (folder / f"{part}.txt").write_text(httpx.get(url, trust_env=False).text)

    def close(self) -> None:
        for client in (self.http, self._simulator, *self._clients):
            client.close()


# Every run of this session, for the test that reads what all of them left behind.
RUN_DIRS: list[Path] = []
_LIVE: list[Gateway] = []


def keep_all_metrics() -> None:
    """`Gateway.keep_metrics` of every gateway that still runs."""
    for gateway in _LIVE:
        gateway.keep_metrics()


@contextlib.contextmanager
def running(
    policies: Path, run_dir: Path, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    """`tollhouse up` on free ports until the block ends; then Ctrl-C, and it must end cleanly."""
    process = launch(policies, run_dir, *options, env=env)
    gateway: Gateway | None = None
    try:
        gateway = Gateway(process, run_dir, wait_up(process, run_dir))
        _LIVE.append(gateway)
        yield gateway
        gateway.require_nothing_held()
    finally:
        if gateway:
            _LIVE.remove(gateway)
            # A test may have brought it down, or left a part of it dead.
            with contextlib.suppress(httpx.HTTPError):
                gateway.keep_metrics()
            gateway.close()
        stop(process)


def launch(
    policies: Path, run_dir: Path, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Starts `tollhouse up` and returns at once. Its output goes to `run_dir`/up.log."""
    run_dir.mkdir(parents=True, exist_ok=True)
    RUN_DIRS.append(run_dir)
    environment = {name: value for name, value in os.environ.items() if name not in _UNSET}
    with (run_dir / "up.log").open("w") as output:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "tollhouse", "up"),
                *("--policies", str(policies), "--run-dir", str(run_dir)),
                *("--port", "0", "--record", *options),
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, **(env or {})},
            start_new_session=True,
        )


def wait_up(process: subprocess.Popen[str], run_dir: Path) -> dict[str, Any]:
    """up.json of a gateway that was launched, once it is there."""

    def ready() -> dict[str, Any] | None:
        if process.poll() is not None:
            raise AssertionError(f"tollhouse up ended:\n{(run_dir / 'up.log').read_text()}")
        path = run_dir / "up.json"
        try:
            loaded: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return loaded

    return wait_for(ready, "tollhouse up", START_SECONDS)


def stop(process: subprocess.Popen[str]) -> int:
    """Ctrl-C; the exit status."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError("tollhouse up did not stop within 20 s of Ctrl-C") from None
