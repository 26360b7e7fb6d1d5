"""The simulator as a process: how it starts, what it accepts, how it ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.simulator.simulator_process import DEADLINE_SECONDS, HELLO, KEY, running
from tollhouse.simulator import Settings

COMMAND = [sys.executable, "-m", "tollhouse.simulator"]


def refused(*options: str) -> str:
    result = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert result.returncode == 2
    return result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_quickly_with_streams_open(tmp_path, number):
    with running(tmp_path) as simulator:
        assert simulator.process.stdout.readline() == f"simulated provider: {simulator.url}/v1\n"
        headers = {"authorization": f"Bearer {KEY}", "x-simulate": "stall=mid_stream"}
        body = HELLO | {"stream": True}
        request = {"json": body, "headers": headers}
        with simulator.http.stream("POST", "/v1/chat/completions", **request) as answer:
            received = answer.iter_raw()
            next(received)
            started = time.monotonic()
            simulator.process.send_signal(number)
            with pytest.raises(httpx.TransportError):
                list(received)
            assert simulator.process.wait(DEADLINE_SECONDS) == 0
            assert time.monotonic() - started < 5


def test_it_names_itself_in_the_ready_file(tmp_path):
    with running(tmp_path) as simulator:
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready == {"url": simulator.url, "pid": simulator.process.pid}
        assert {path.name for path in tmp_path.iterdir()} == {"keys", "ready.json", "stderr"}


def test_only_listed_models_exist(tmp_path):
    with running(tmp_path, "--models", "a,b/c") as simulator:
        headers = {"authorization": f"Bearer {KEY}"}
        assert simulator.chat(model="a").status_code == 200
        missing = simulator.chat(model="gpt-9")
        assert missing.status_code == 404
        assert missing.json()["error"] == {
            "message": "The model `gpt-9` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
        listed = simulator.http.get("/v1/models", headers=headers).json()
        assert [model["id"] for model in listed["data"]] == ["a", "b/c"]
        assert simulator.http.get("/v1/models/b/c", headers=headers).json()["id"] == "b/c"
        assert simulator.http.get("/v1/models/c", headers=headers).status_code == 404


def test_the_base_path_can_be_another(tmp_path):
    with running(tmp_path, "--base-path", "/openai/v2") as simulator:
        headers = {"authorization": f"Bearer {KEY}"}
        assert simulator.http.get("/openai/v2/models", headers=headers).status_code == 200
        assert simulator.http.get("/v1/models", headers=headers).status_code == 404


def test_nothing_is_recorded_without_record(tmp_path):
    with running(tmp_path) as simulator:
        simulator.chat()
        assert simulator.control("requests") == []


def test_it_does_not_start_without_a_key():
    assert "provider key" in refused()


def test_it_says_so_when_the_port_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "in use" in refused("--key", KEY, "--port", port)


@pytest.mark.parametrize("path", ["v1", "/v1/", "/"])
def test_a_base_path_of_another_form_is_refused(path):
    with pytest.raises(ValueError, match="base path"):
        Settings(keys=(KEY,), base_path=path)


def test_settings_do_not_show_their_keys():
    assert KEY not in repr(Settings(keys=(KEY,)))
