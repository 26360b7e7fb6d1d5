"""A key that is blocked stops working on every replica within two seconds, whatever runs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.rpc.code_pb2 import OK

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tests.unit.authz.builders import Sent, check_request

SECONDS = 2.0
BLOCKED = e2e_policy.TEAM.replace("- id: app\n", "- id: app\n        blocked: true\n")


class Replica:
    """Another authz_service on the same tree, asked as Envoy would ask it."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._check = channel.unary_unary(
            "/envoy.service.auth.v3.Authorization/Check",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=CheckResponse.FromString,
        )

    def admits(self, key_name: str) -> bool:
        sent = Sent(
            headers={"authorization": f"Bearer {test_key(key_name)}"},
            facts={"endpoint": "chat/completions", "model": "chat"},
        )
        return bool(self._check(check_request(sent)).status.code == OK)


@contextlib.contextmanager
def second_authz(policies: Path, folder: Path) -> Iterator[Replica]:
    folder.mkdir()
    socket, ready = folder / "authz.sock", folder / "ready.json"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "authz_service", "--policies", str(policies)),
                *("--listen", f"unix:{socket}", "--ready-file", str(ready)),
            ],
            stderr=log,
        )
    try:
        wait_for(ready.exists, "the second authz_service", 30)
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            yield Replica(channel)
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def edits_elsewhere(policies: Path) -> Iterator[list[int]]:
    """Somebody saves another file of the tree twice a second."""
    stop, saved = threading.Event(), list[int]()

    def save() -> None:
        while not stop.wait(0.5):
            saved.append(len(saved))
            text = f"team: ops\nowner: shift-{len(saved)}\n"
            new = policies / "teams/.ops.yaml.swp"
            new.write_text(text)
            new.replace(policies / "teams/ops.yaml")

    thread = threading.Thread(target=save)
    thread.start()
    try:
        yield saved
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def stream_of(gateway: Gateway) -> Iterator[list[str]]:
    """A stream of the key that takes 6 seconds; its lines, as they come."""
    lines = list[str]()

    def read() -> None:
        body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
        headers = {
            "authorization": f"Bearer {test_key('app')}",
            "x-simulate": "completion_tokens=60,token_delay_ms=100",
        }
        with gateway.http.stream(
            "POST", "/v1/chat/completions", json=body, headers=headers
        ) as answer:
            lines.extend(line for line in answer.iter_lines() if line)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        wait_for(lambda: lines or gateway.received(), "the stream")
        yield lines
    finally:
        thread.join()


def until_refused(asked: dict[str, Callable[[], bool]], since: float) -> dict[str, float]:
    """Seconds until each of them refuses."""
    refused: dict[str, float] = {}
    while len(refused) < len(asked) and time.monotonic() - since < 10:
        for name, admits in asked.items():
            if name not in refused and not admits():
                refused[name] = time.monotonic() - since
        time.sleep(0.01)
    return refused


def test_a_blocked_key_is_refused_by_every_replica_in_time_and_no_call_brings_it_back(
    tmp_path: Path,
) -> None:
    policies = e2e_policy.write(tmp_path / "policies", teams__ops="team: ops\n")
    with (
        running(policies, tmp_path / "run") as gateway,
        second_authz(policies, tmp_path / "second") as second,
        edits_elsewhere(policies) as saved,
    ):
        asked: dict[str, Callable[[], bool]] = {
            "through Envoy": lambda: gateway.chat("app").status_code == 200,
            "second authz_service": lambda: second.admits("app"),
        }
        with stream_of(gateway) as lines:
            assert all(admits() for admits in asked.values())
            (policies / "teams/web.yaml").write_text(BLOCKED)
            refused = until_refused(asked, time.monotonic())
            again = []
            # Until the stream has ended, and been settled, and for a while after.
            for _ in range(80):
                again += [name for name, admits in asked.items() if admits()]
                time.sleep(0.1)
        print(
            f"\nrefused after {refused}, {len(saved)} edits elsewhere, {len(again)} admitted again"
        )
        assert lines[-1] == "data: [DONE]"
        assert set(refused) == set(asked)
        assert all(seconds < SECONDS for seconds in refused.values())
        assert again == []
        assert second.admits("narrow")
