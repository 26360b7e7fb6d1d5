"""`tollhouse keys …` on the policy of a running gateway: in force within two seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.keys import sha256_hex

SECONDS = 2.0


class Keys:
    """A gateway, and the commands on the policy it follows."""

    def __init__(self, gateway: Gateway, policies: Path) -> None:
        self.gateway = gateway
        self.policies = policies

    def __call__(self, *words: str) -> str:
        command = [sys.executable, "-m", "tollhouse", "keys", *words]
        done = subprocess.run(
            [*command, "--policies", str(self.policies)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, key: str) -> int:
        return self.chat(key).status_code

    def chat(self, key: str) -> Any:
        return self.gateway.http.post(
            "/v1/chat/completions",
            json={"model": "chat", "messages": [{"role": "user", "content": "Say hello"}]},
            headers={"authorization": f"Bearer {key}"},
        )

    def soon(self, key: str, status: int, seconds: float = SECONDS) -> None:
        wait_for(lambda: self.status(key) == status, f"{status} of the key", seconds)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    root = tmp_path_factory.mktemp("keys")
    three = e2e_policy.key("three", "  limits: {requests_per_minute: 3}")
    more = e2e_policy.TEAM + three + e2e_policy.key("leaked")
    with running(e2e_policy.write(root / "policies", teams__web=more), root / "run") as gateway:
        yield Keys(gateway, root / "policies")


def test_a_new_key_works_until_it_is_expired(keys: Keys) -> None:
    made = json.loads(keys("new", "fresh", "--team", "web", "--project", "site", "--json"))
    keys.soon(made["api_key"], 200)
    keys("expire", "fresh", "--at", "now")
    keys.soon(made["api_key"], 401)


def test_both_keys_of_a_rotation_share_identity_and_limit_and_then_only_the_new_one_works(
    keys: Keys,
) -> None:
    old = test_key("three")
    new = json.loads(keys("rotate", "three", "--overlap", "10s", "--json"))["api_key"]
    wait_for(lambda: keys.status(new) == 200, "the new key", SECONDS)
    with_old = keys.chat(old)
    assert with_old.status_code == 200
    logged = keys.gateway.log_line(with_old.headers["x-request-id"])
    assert (logged["key_id"], logged["credential"]) == ("three", "previous")
    assert keys.status(new) == 200
    # Three a minute in all: one limit, whichever key it is.
    assert (keys.status(old), keys.status(new)) == (429, 429)
    keys.soon(old, 401, seconds=15)
    assert keys.status(new) == 429
    assert sha256_hex(old) in (keys.policies / "teams/web.yaml").read_text()


def test_a_blocked_key_stops_within_two_seconds_while_its_stream_runs_and_comes_back(
    keys: Keys,
) -> None:
    leaked = test_key("leaked")
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
    headers = {
        "authorization": f"Bearer {leaked}",
        "x-simulate": "completion_tokens=80,token_delay_ms=100",
    }
    stream = keys.gateway.http.stream("POST", "/v1/chat/completions", json=body, headers=headers)
    with stream as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ")
        keys("block", "leaked", "--reason", "seen in a public repository")
        keys.soon(leaked, 403)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    keys("unblock", "leaked")
    keys.soon(leaked, 200)
