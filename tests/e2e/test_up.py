"""`tollhouse up`, as a developer meets it: start, what it says, what it leaves, how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support import e2e_policy
from tests.support.gateway import Gateway, launch, running, stop, test_key, wait_for, wait_up
from tests.support.redis import RedisProcess, redis_process
from tollhouse.demo import DEMO_KEYS, DEMO_TOKENS
from tollhouse.paths import EXAMPLE_POLICIES

__all__ = ["redis_process"]

_COMMAND = (sys.executable, "-m", "tollhouse", "up", "--port", "0")
PARTS = ("redis", "authz_service", "ratelimit_service", "simulator", "envoy")


def said(run_dir: Path) -> str:
    return (run_dir / "up.log").read_text()


def descendants(pid: int) -> list[int]:
    """The children of a process; those of `tollhouse up` have none of their own."""
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    # ps itself is a child of ours, never of the gateway's.
    return [int(line) for line in listing.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def none_alive(pids: list[int]) -> bool:
    return not any(is_alive(pid) for pid in pids)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`launch` in `tmp_path`/run; a test that fails leaves no gateway behind."""
    started: list[subprocess.Popen[str]] = []

    def start(policies: Path, *options: str, **env: str) -> subprocess.Popen[str]:
        started.append(launch(policies, tmp_path / "run", *options, env=env))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


# With the example policies


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    root = tmp_path_factory.mktemp("example")
    with running(EXAMPLE_POLICIES, root / "run", env={"MISTRAL_API_KEY": "set"}) as gateway:
        yield gateway


def test_up_json_says_where_everything_is(example: Gateway) -> None:
    up: dict[str, Any] = json.loads((example.run_dir / "up.json").read_text())
    assert set(up) == {
        *("endpoint", "admin_endpoint", "metrics", "access_log", "policies", "redis_url", "keys"),
        *("simulator", "console", "admin_token", "audit_log"),
    }
    assert up["keys"] == DEMO_KEYS
    assert up["admin_token"] == DEMO_TOKENS["demo-admin"]
    assert set(up["metrics"]) == {"authz_service", "ratelimit_service", "console", "envoy"}
    pages = (f"{up['admin_endpoint']}/ready", f"{up['simulator']}/_simulator/bill")
    for url in (*up["metrics"].values(), *pages):
        assert httpx.get(url, trust_env=False).status_code == 200, url
    for key in DEMO_KEYS.values():
        answer = example.http.get("/v1/models", headers={"x-api-key": key})
        assert answer.status_code == 200 and answer.json()["data"]
    assert Path(up["access_log"]).parent == example.run_dir
    assert Path(up["audit_log"]).is_file()
    assert httpx.get(up["console"], follow_redirects=True, trust_env=False).status_code == 200


def test_the_ledger_of_the_gateway_that_runs_here_is_found(example: Gateway) -> None:
    words = ("ledger", "show", "marketing", "--policies", example.up["policies"], "--json")
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    (example.run_dir.parent / ".run").symlink_to(example.run_dir)
    shown = subprocess.run(
        [sys.executable, "-m", "tollhouse", *words],
        cwd=example.run_dir.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert {state["scope"] for state in json.loads(shown.stdout)} >= {"team", "org"}


def test_the_curl_that_it_prints_works_as_pasted(example: Gateway) -> None:
    printed = said(example.run_dir)
    command = printed[printed.index("curl ") :].partition("\n\n")[0]
    answer = subprocess.run(
        ["sh", "-c", command],  # noqa: S607 - as its user would
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert json.loads(answer.stdout)["choices"][0]["message"]["content"].startswith("tok1 ")


def test_it_says_how_far_it_is_and_which_providers_are_played(example: Gateway) -> None:
    printed = said(example.run_dir)
    for part in (
        "redis: ready",
        "authz_service: ready",
        "ratelimit_service: ready",
        "envoy: ready, with policy ",
    ):
        assert part in printed
    for provider, variable in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")):
        assert f"SIMULATED: provider '{provider}'" in printed and variable in printed
    for key in DEMO_KEYS.values():
        assert key in printed


def test_a_provider_whose_secret_is_set_is_not_played(example: Gateway) -> None:
    assert "SIMULATED: provider 'mistral'" not in said(example.run_dir)
    clusters = json.loads((example.run_dir / "envoy/cds.json").read_text())["resources"]
    hosts = {
        cluster["name"]: cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"][
            "address"
        ]["socket_address"]["address"]
        for cluster in clusters
        if cluster["name"].startswith("provider.") and not cluster["name"].endswith(".pool")
    }
    assert hosts == {
        "provider.openai": "127.0.0.1",
        "provider.anthropic": "127.0.0.1",
        "provider.anthropic_openai": "127.0.0.1",
        "provider.internal": "127.0.0.1",
        "provider.mistral": "api.mistral.ai",
    }


def test_a_second_gateway_in_the_same_directory_is_refused_and_the_first_goes_on(
    example: Gateway, tmp_path: Path
) -> None:
    before = said(example.run_dir)
    second = subprocess.run(
        [*_COMMAND, "--policies", str(EXAMPLE_POLICIES), "--run-dir", str(example.run_dir)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert second.returncode == 1
    assert f"another gateway runs in {example.run_dir}" in second.stderr
    assert "--run-dir DIR" in second.stderr
    assert said(example.run_dir) == before
    assert example.http.get("/healthz").status_code == 200
    assert (example.run_dir / "up.json").exists()


def test_a_busy_port_is_named_with_what_to_do_and_nothing_is_left_running(
    example: Gateway, start: Start, tmp_path: Path
) -> None:
    port = int(example.endpoint.rpartition(":")[2])
    process = start(EXAMPLE_POLICIES, "--port", str(port))
    assert process.wait(timeout=60) == 1
    printed = said(tmp_path / "run")
    assert f"port {port} on 127.0.0.1 cannot be used" in printed
    assert f"--port {port + 1}" in printed
    assert not (tmp_path / "run/logs").exists()


# With a policy of its own


def test_without_demo_keys_in_the_policy_there_are_none(gateway: Gateway) -> None:
    assert gateway.up["keys"] == {}
    assert "Demo keys" not in said(gateway.run_dir)


def test_two_gateways_at_once_count_for_themselves(
    gateway: Gateway, policies: Path, tmp_path: Path
) -> None:
    gateway.chat("one-request")
    assert gateway.chat("one-request").status_code == 429
    with running(policies, tmp_path / "run") as second:
        assert second.endpoint != gateway.endpoint
        assert second.chat("one-request").status_code == 200
        assert second.chat("one-request").status_code == 429
    line = [one for one in second.log_lines() if one.get("key_id") == "one-request"]
    assert [one["status"] for one in line] == [200, 429]
    assert not [
        one for one in gateway.log_lines() if one.get("request_id") == line[0]["request_id"]
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_even_while_a_stream_runs(
    policies: Path, start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(policies)
    gateway = Gateway(process, tmp_path / "run", wait_up(process, tmp_path / "run"))
    children = descendants(process.pid)
    assert len(children) == len(PARTS)
    body = {"model": "chat", "messages": [{"role": "user", "content": "Say hello"}], "stream": True}
    headers = {"x-simulate": "stall=mid_stream", "authorization": f"Bearer {test_key('app')}"}
    with gateway.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        chunks = answer.iter_bytes()  # kept: a closed iterator closes the stream
        next(chunks)
        process.send_signal(number)
        assert process.wait(timeout=30) == 0
    gateway.close()
    assert "Tollhouse has stopped." in said(tmp_path / "run")
    assert none_alive(children)
    assert not (tmp_path / "run/up.json").exists()
    port = int(gateway.endpoint.rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_signal_during_the_start_stops_what_has_started(
    policies: Path, start: Start, tmp_path: Path
) -> None:
    process = start(policies)
    wait_for(lambda: "redis: ready" in said(tmp_path / "run"), "the first part", 30)
    children = descendants(process.pid)
    assert stop(process) == 0
    assert children and none_alive(children)
    assert "is up" not in said(tmp_path / "run")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_takes_all_down_and_is_named(
    policies: Path, start: Start, tmp_path: Path, part: str
) -> None:
    process = start(policies)
    gateway = Gateway(process, tmp_path / "run", wait_up(process, tmp_path / "run"))
    gateway.close()
    children = descendants(process.pid)
    os.kill(gateway.pid_of(part), signal.SIGKILL)
    assert process.wait(timeout=30) == 1
    printed = said(tmp_path / "run")
    assert f"{part} ended (killed by SIGKILL)" in printed
    assert str(tmp_path / f"run/logs/{part}.log") in printed
    assert none_alive(children)
    assert not (tmp_path / "run/up.json").exists()


def test_when_it_is_killed_itself_its_parts_end_too(
    policies: Path, start: Start, tmp_path: Path
) -> None:
    process = start(policies)
    wait_up(process, tmp_path / "run")
    children = descendants(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: none_alive(children), "the end of every part")


def test_what_was_spent_and_counted_survives_a_restart(policies: Path, tmp_path: Path) -> None:
    with running(policies, tmp_path / "run") as gateway:
        assert gateway.chat("one-request").status_code == 200
        # More than half of its two cents: the worst case of a second call is too much.
        answer = gateway.chat("poor", {"x-simulate": "completion_tokens=1000"})
        assert answer.status_code == 200
        gateway.settled(answer.headers["x-request-id"])
    with running(policies, tmp_path / "run") as gateway:
        for key, code in (("one-request", "rate_limit_requests"), ("poor", "budget_exceeded")):
            assert gateway.chat(key).json()["error"]["code"] == code
        assert [one["status"] for one in gateway.log_lines() if "usage" in one] == [200, 200]


def test_the_redis_it_is_given_is_used_and_none_is_started(
    policies: Path, tmp_path: Path, redis_process: RedisProcess
) -> None:
    with running(policies, tmp_path / "run", "--redis-url", redis_process.url) as gateway:
        assert gateway.chat("app").status_code == 200
        assert "redis: the one at REDIS_URL" in said(tmp_path / "run")
        assert len(descendants(gateway.process.pid)) == len(PARTS) - 1
        client = redis.Redis.from_url(redis_process.url)
        keys = {key.decode() for key in client.scan_iter()}
        client.close()
    assert "th:{team:web}:win:key:app" in keys


# What keeps it from starting


def test_a_bad_policy_is_named_by_file_and_line_and_nothing_starts(
    start: Start, tmp_path: Path
) -> None:
    models = e2e_policy.MODELS.replace("provider: other", "provider: othr")
    process = start(e2e_policy.write(tmp_path / "policies", models=models))
    assert process.wait(timeout=60) == 1
    assert said(tmp_path / "run").splitlines() == [
        "tollhouse up: models.yaml:14:15: unknown provider 'othr': did you mean 'other'?"
    ]
    assert not (tmp_path / "run/logs").exists()


def test_a_redis_that_does_not_answer_is_named(
    policies: Path, start: Start, tmp_path: Path
) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    process = start(policies, REDIS_URL=url)
    assert process.wait(timeout=60) == 1
    printed = said(tmp_path / "run")
    assert "ratelimit_service is not ready: redis: " in printed
    assert "Is the Redis of --redis-url (or REDIS_URL) running?" in printed
    assert "ratelimit_service: ready" not in printed


def test_half_a_certificate_is_refused(policies: Path, start: Start, tmp_path: Path) -> None:
    process = start(policies, "--tls-cert", "/tmp/cert.pem")
    assert process.wait(timeout=60) == 1
    assert "--tls-cert and --tls-key go together" in said(tmp_path / "run")
