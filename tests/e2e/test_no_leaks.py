"""After all other end-to-end tests: no file of any gateway of this session holds a key or a prompt.

conftest.py puts this module at the end.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support import gateway as support
from tests.support.gateway import Gateway, test_key
from tests.support.leaks import MARKED_PROMPT, leaks
from tollhouse.demo import DEMO_KEYS

MESSAGES = [{"role": "user", "content": MARKED_PROMPT}]


def test_the_prompts_of_calls_that_pass_or_fail_in_every_way_are_written_nowhere(
    gateway: Gateway,
) -> None:
    faults = ("merge=1", "status=500", "html_error=502", "status=401", "abort_after=1", "no_usage")
    answers = []
    for stream in (False, True):
        for fault in faults:
            headers = {
                "authorization": f"Bearer {test_key('app')}",
                "x-simulate": fault,
                "cookie": "session=sk-e2e-cookie",
            }
            body = {"model": "chat", "messages": MESSAGES, "stream": stream}
            url = "/v1/chat/completions?key=sk-e2e-query"
            with gateway.http.stream("POST", url, json=body, headers=headers) as answer:
                answers.append(answer.headers["x-request-id"])
                try:
                    answer.read()
                except httpx.RemoteProtocolError:
                    assert fault == "abort_after=1"
    marked = [request for request in gateway.received() if MARKED_PROMPT.encode() in request.body]
    assert len(marked) == len(answers) == 2 * len(faults)
    refused = [
        gateway.chat("app", model=f"{MARKED_PROMPT} as the model", messages=MESSAGES),
        gateway.chat("app", model="sk-e2e-model", messages=MESSAGES),
        gateway.chat("broke", messages=MESSAGES),
        gateway.chat(None, {"authorization": "Bearer sk-e2e-unknown"}, messages=MESSAGES),
        gateway.chat(None, {"x-api-key": "sk-e2e-unknown"}, messages=MESSAGES),
        gateway.post("/v1/chat/completions", f'{{"a": {MARKED_PROMPT}'.encode(), "app"),
        gateway.post("/v1/files", MARKED_PROMPT.encode(), "app"),
    ]
    assert all(answer.status_code >= 400 for answer in refused)
    for request_id in (*answers, *(answer.headers["x-request-id"] for answer in refused)):
        gateway.log_line(request_id)
    gateway.keep_metrics()
    assert list(leaks(gateway.run_dir)) == []


def test_no_file_of_any_gateway_of_this_session_holds_a_key_or_a_prompt(gateway: Gateway) -> None:
    support.keep_all_metrics()
    assert gateway.run_dir in support.RUN_DIRS
    for name in ("access.json", "up.log", "logs/envoy.log", "logs/authz_service.log",
                 "logs/ratelimit_service.log", "envoy/cds.json", "redis/appendonly.aof",
                 "metrics/authz_service.txt", "metrics/ratelimit_service.txt",
                 "metrics/envoy.txt"):  # fmt: skip
        assert (gateway.run_dir / name).stat().st_size > 0 or name.startswith("logs/"), name
    found = [leak for run_dir in support.RUN_DIRS for leak in leaks(run_dir)]
    assert found == []


PLANTED = {
    "a prompt": f'{{"messages":"{MARKED_PROMPT}"}}',
    "an answer": "tok1 tok2 tok3",
    "a key of a client": f"key={test_key('app')}",
    "a made-up key": "GET /v1/models?key=sk-e2e-query",
    "an authorization header": "authorization: bearer  abcdefgh12345678",
    "the provider's key": "'sim-planted-provider-key'",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_leak_is_found_and_not_repeated(tmp_path: Path, what: str) -> None:
    (tmp_path / "simulator.key").write_text("sim-planted-provider-key\n")
    folder = tmp_path / "logs"
    folder.mkdir()
    assert list(leaks(tmp_path)) == []
    (folder / "envoy.log").write_bytes(b"\xff\x00" + PLANTED[what].encode())
    assert f"{what} is in {folder / 'envoy.log'}" in list(leaks(tmp_path))
    assert PLANTED[what] not in "".join(leaks(tmp_path))


def test_demo_keys_may_be_shown_to_the_user_of_up_and_nowhere_else(tmp_path: Path) -> None:
    text = f"authorization: Bearer {next(iter(DEMO_KEYS.values()))}"
    (tmp_path / "up.log").write_text(text)
    assert list(leaks(tmp_path)) == []
    (tmp_path / "access.json").write_text(text)
    assert len(list(leaks(tmp_path))) == 2
