"""`tollhouse replay` on the access log that a real gateway wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return e2e_policy.write(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, policies: Path) -> Iterator[Gateway]:
    """After traffic that ended in every way that a call can."""
    with running(policies, tmp_path_factory.mktemp("run") / "run") as gateway:
        calls = [
            gateway.chat("app"),
            gateway.chat("app", stream=True),
            gateway.chat("app", model="chat-other"),
            gateway.chat("narrow"),
            gateway.chat("app", {"x-simulate": "status=500"}),
            gateway.post("/v1/embeddings", {"model": "embed", "input": "x"}, "app"),
            gateway.chat("app", model="secret-model"),
            gateway.chat("app", model="nothing"),
            gateway.chat("app", model="embed"),
            gateway.chat("blocked"),
            gateway.chat("expired"),
            gateway.chat("nobody"),
            gateway.chat("broke"),
            gateway.post("/v1//./chat/completions", {"model": "chat", "messages": []}, "app"),
            gateway.post("/v1/chat/completions", b"not json", "app"),
            gateway.post("/v1/batches", {}, "app"),
            gateway.post("/nowhere?x=1", {}, "app"),
            gateway.http.get("/v1/models", headers=_bearer("app")),
            gateway.http.get("/v1/models/chat", headers=_bearer("app")),
            gateway.http.get("/v1/models/secret-model", headers=_bearer("narrow")),
        ]
        for answer in calls:
            gateway.log_line(answer.headers["x-request-id"])
        yield gateway


def _bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {test_key(name)}"}


def replay(gateway: Gateway, policies: Path) -> tuple[int, dict[str, Any]]:
    words = ("--log", gateway.up["access_log"], "--policies", str(policies), "--format", "json")
    command = [sys.executable, "-m", "tollhouse", "replay", *words]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.stderr == ""
    return shown.returncode, json.loads(shown.stdout)


def test_the_policy_in_force_would_decide_all_as_it_did(gateway: Gateway, policies: Path) -> None:
    status, data = replay(gateway, policies)
    changed = ("newly_denied", "newly_allowed", "refused_otherwise", "would_deny")
    assert [data[kind] for kind in changed] == [[], [], [], []]
    assert data["unchanged"] == {
        "allowed": 10,
        "model_not_allowed": 2,
        "endpoint_not_allowed": 2,
        "unknown_endpoint": 1,
        "key_blocked": 1,
        "key_expired": 1,
    }
    assert data["not_compared"] == {"no_key": 1, "body": 1, "no_model": 1}
    assert (status, data["malformed"], data["lines"]) == (0, 0, 20)


def test_an_edit_that_would_have_refused_what_passed_is_told_before_it_is_made(
    gateway: Gateway, tmp_path: Path
) -> None:
    edited = e2e_policy.TEAM.replace("chat-other, ", "").replace(
        "denied_models: []", "denied_models: []\n    shadow: {denied_models: [embed]}"
    )
    proposed = e2e_policy.write(tmp_path / "proposed", teams__web=edited)
    status, data = replay(gateway, proposed)
    assert status == 1
    [denied] = data["newly_denied"]
    logged = [line for line in gateway.log_lines() if line.get("alias") == "chat-other"]
    assert denied == {
        **{"team": "web", "key_id": "app", "alias": "chat-other", "requests": 1},
        **{"old": "allowed", "new": "model_not_allowed"},
        **{"first": logged[0]["time"], "last": logged[0]["time"]},
        "reason": denied["reason"],
        "examples": [logged[0]["request_id"]],
    }
    assert denied["reason"].startswith("Key app may not call chat-other: it is not among")
    assert [(one["alias"], one["requests"]) for one in data["would_deny"]] == [("embed", 1)]
