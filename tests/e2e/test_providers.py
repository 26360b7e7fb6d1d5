"""Every provider's entry reaches it as it says: path, headers, credential, TLS. And keys rotate.

One gateway has the entries of policies/examples, each at a simulated provider of its own, whose
path begins with its name; and some entries under TLS.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
import yaml

from tests.simulator import simulator_process
from tests.simulator.simulator_process import Simulator
from tests.support import certificates, e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.paths import EXAMPLE_POLICIES

EXAMPLES: dict[str, dict[str, Any]] = yaml.safe_load(
    (EXAMPLE_POLICIES / "examples" / "providers.yaml").read_text()
)["providers"]
PRICE = {"input_per_million": 1, "output_per_million": 1}
ENDPOINTS = {"anthropic": "messages", "deepseek-anthropic": "messages", "cohere-rerank": "rerank"}
# What Envoy and the gateway write themselves; what a client sends that passes; nothing else may.
OWN = {"host", "content-length", "x-request-id"}
SENT = {
    "content-type": "application/json",
    "accept": "application/json",
    "user-agent": "test",
    "x-stainless-lang": "python",
    "anthropic-beta": "context-1m-2025-08-07",
    "openai-organization": "org-of-the-caller",
    "x-goog-user-project": "project-of-the-caller",
    "x-api-key": "sk-e2e-second-credential",
    "api-key": "sk-e2e-third-credential",
    "cookie": "session=1",
    "x-anything": "else",
}
HARMLESS = {"content-type", "accept", "user-agent", "x-stainless-lang"}
TEAM = f"""\
team: web
projects:
  site:
    allowed_models: ["to-*", in-order]
    keys:
{e2e_policy.key("app")}
"""


@dataclass(frozen=True)
class World:
    """The gateway, and its providers: in the clear, and under TLS."""

    gateway: Gateway
    plain: Simulator
    secure: Simulator
    folder: Path

    def key(self, name: str) -> str:
        return (self.folder / "keys" / f"{name}.key").read_text().splitlines()[0]

    def call(self, name: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """A call of the alias `to-NAME` at the endpoint that its provider serves."""
        endpoint = ENDPOINTS.get(name, "chat/completions")
        message = {"role": "user", "content": "Say hello"}
        asked = {"query": "a", "documents": ["b"]} if endpoint == "rerank" else {
            "messages": [message], "max_tokens": 9
        }  # fmt: skip
        return self.gateway.post(
            f"/v1/{endpoint}", {"model": f"to-{name}", **asked}, "app", headers
        )

    def forget(self) -> None:
        for simulator in (self.plain, self.secure):
            for book in ("requests", "leaks"):
                simulator.http.delete(f"/_simulator/{book}").raise_for_status()

    def stat(self, name: str) -> int:
        """One of Envoy's statistics."""
        page = httpx.get(f"{self.gateway.up['admin_endpoint']}/stats?filter=^{re.escape(name)}$")
        return int(page.text.rpartition(": ")[2])


def new_key(folder: Path, name: str, *more: str) -> Path:
    path = folder / "keys" / f"{name}.key"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join((f"sk-e2e-of-{name}-0001", *more)))
    return path


def placed(folder: Path, simulator: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples, at the simulator: /NAME, and then the path that the example has."""
    for name, example in EXAMPLES.items():
        key = folder / "keys" / f"{name}.key"
        there = f"{simulator}/{name}{urlsplit(example['base_url']).path}"
        secret = {"api_key": f"file:{key}"} if "api_key" in example else {}
        yield name, {**without(example, "ca_file"), **secret, "base_url": there}


def without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key != name}


def under_tls(folder: Path, url: str) -> dict[str, dict[str, Any]]:
    ca = {"ca_file": str(folder / "certs/ca.crt")}
    key = {"api_key": f"file:{folder}/keys/tls.key"}
    base = {"dialect": "openai", "base_url": f"{url.replace('127.0.0.1', 'localhost')}/tls/v1"}
    return {
        "tls": {**base, **key, **ca},
        "named": {**base, **key, **ca, "server_name": "llm.acme.test"},
        "wrong-name": {**base, **key, **ca, "server_name": "other.acme.test"},
        "unknown-ca": {**base, **key},
    }


def policy(folder: Path, providers: dict[str, dict[str, Any]]) -> Path:
    models = {
        f"to-{name}": {
            **{
                "provider": name,
                "model": "a-model",
                "price": dict(PRICE),
                "max_output_tokens": 100,
            },
            "endpoints": [ENDPOINTS.get(name, "chat/completions")],
        }
        for name in providers
    }
    # Its secret is nowhere, so that `tollhouse up` runs a simulator of its own, too.
    spare = {"dialect": "openai", "base_url": "https://spare.test/v1", "api_key": "${SPARE_KEY}"}
    models["in-order"] = {
        "deployments": [
            {"provider": "flaky", "model": "a-model", "order": 1, "price": dict(PRICE)},
            {"provider": "steady", "model": "a-model", "order": 2, "price": dict(PRICE)},
        ],
        "max_output_tokens": 100,
    }
    return e2e_policy.write(
        folder / "policies",
        providers=yaml.safe_dump({"providers": {**providers, "spare": spare}}),
        models=yaml.safe_dump({"models": models}),
        teams__web=TEAM,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, ca = tmp_path_factory.mktemp("providers"), trustme.CA()
    options = []
    for name, example in EXAMPLES.items():
        key, path = new_key(folder, name), urlsplit(example["base_url"]).path
        quirk = "ollama" if "api_key" not in example else ENDPOINTS.get(name, "default")
        quirk = {"messages": "anthropic", "rerank": "cohere"}.get(quirk, quirk)
        key_file = "" if quirk == "ollama" else key
        options += ["--provider", f"{name}={key_file},quirk={quirk},base=/{name}{path}"]
    rotated = new_key(folder, "rotated", "sk-e2e-of-rotated-0002", "sk-e2e-of-rotated-0003")
    options += ["--provider", f"rotated={rotated},quirk=default"]
    for name in ("flaky", "steady"):
        options += ["--provider", f"{name}={new_key(folder, name)},quirk=default"]
    files = certificates.issue(folder / "certs", ca, "localhost", "127.0.0.1", "llm.acme.test")
    tls = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
    new_key(folder, "tls")
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(started(folder / "plain", *options))
        secure = stack.enter_context(
            started(
                folder / "secure",
                *("--provider", f"tls={folder}/keys/tls.key,quirk=default", *tls),
                verify=certificates.trusting(ca),
            )
        )
        providers = dict(placed(folder, plain.url)) | under_tls(folder, secure.url)
        for place in ("renamed", "mounted"):
            providers[place] = {
                **{"dialect": "openai", "base_url": f"{plain.url}/rotated/v1"},
                "api_key": f"file:{folder}/{place}/key",
                "forward_headers": ["x-simulate"],
            }
            first_key(folder / place, mounted=place == "mounted")
        for name, cooldown in (("flaky", 6), ("steady", 10)):
            providers[name] = {
                **{"dialect": "openai", "base_url": f"{plain.url}/{name}/v1"},
                "api_key": f"file:{folder}/keys/{name}.key",
                **{"cooldown_seconds": cooldown, "cooldown_after": 3},
            }
        gateway = stack.enter_context(running(policy(folder, providers), folder / "run"))
        yield World(gateway, plain, secure, folder)


@contextlib.contextmanager
def started(folder: Path, *options: str, **how: Any) -> Iterator[Simulator]:
    folder.mkdir()
    with simulator_process.running(folder, "--record", *options, default=False, **how) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def forgotten(world: World) -> None:
    world.forget()


# What reaches a provider


def expected_credential(world: World, name: str) -> dict[str, str]:
    example = EXAMPLES[name]
    if "api_key" not in example:
        return {}
    default = "x-api-key" if example["dialect"] == "anthropic" else "authorization"
    header = example.get("auth_header", default)
    prefix = example.get("auth_prefix", "Bearer " if header == "authorization" else "")
    return {header: prefix + world.key(name)}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_provider_gets_its_path_its_headers_and_its_credential_and_nothing_else(
    world: World, name: str
) -> None:
    world.call(name, SENT)
    [received] = world.plain.control("requests")
    path = urlsplit(EXAMPLES[name]["base_url"]).path
    endpoint = ENDPOINTS.get(name, "chat/completions")
    assert (received["path"], received["query"]) == (f"/{name}{path}/{endpoint}", "")
    headers = {key.lower(): value for key, value in received["headers"]}
    assert headers["host"] == urlsplit(world.plain.url).netloc
    version = {"anthropic-version": "2023-06-01"}
    fixed = {
        **(version if EXAMPLES[name]["dialect"] == "anthropic" else {}),
        **EXAMPLES[name].get("headers", {}),
        **expected_credential(world, name),
    }
    forwarded = set(EXAMPLES[name].get("forward_headers", []))
    passed = {header: SENT[header] for header in HARMLESS | forwarded}
    assert {key: value for key, value in headers.items() if key not in OWN} == {**passed, **fixed}
    assert test_key("app") not in json.dumps(received)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "other"])
def test_a_provider_takes_the_credential_and_the_caller_gets_its_answer(
    world: World, name: str
) -> None:
    answer = world.call(name)
    assert answer.status_code == 200, answer.text
    [received] = world.plain.control("requests")
    assert received["provider_key_ok"]


def test_no_providers_key_has_reached_another(world: World) -> None:
    for name in EXAMPLES:
        world.call(name, SENT)
    assert len(world.plain.control("requests")) == len(EXAMPLES)
    assert world.plain.control("leaks") == []


# TLS


@pytest.mark.parametrize("name", ["tls", "named"])
def test_a_private_ca_and_another_name_than_the_hosts_are_verified(world: World, name: str) -> None:
    assert world.call(name).status_code == 200
    [received] = world.secure.control("requests")
    assert received["provider_key_ok"]


@pytest.mark.parametrize(
    ("name", "why"),
    [("wrong-name", "CERTIFICATE_VERIFY_FAILED"), ("unknown-ca", "CERTIFICATE_VERIFY_FAILED")],
)
def test_a_certificate_that_does_not_verify_is_sent_nothing(
    world: World, name: str, why: str
) -> None:
    answer = world.call(name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "provider_error")
    line = world.gateway.log_line(answer.headers["x-request-id"])
    assert why in line["status_details"]
    assert world.secure.control("requests") == []
    assert world.stat(f"cluster.provider_{name}.ssl.handshake") == 0
    assert world.key("tls") not in answer.text + json.dumps(line)


# Cooldown


@contextlib.contextmanager
def failing(world: World, *names: str, status: int = 429) -> Iterator[None]:
    """These providers answer so for the length of a with-block."""
    for name in names:
        fault = {"x-simulate": f"status={status}", "provider": name}
        world.plain.http.put("/_simulator/faults", json=fault).raise_for_status()
    try:
        yield
    finally:
        world.plain.http.delete("/_simulator/faults").raise_for_status()


def asked(world: World) -> list[str]:
    """Which providers have been asked since `forget`, in order."""
    return [each["path"].split("/")[1] for each in world.plain.control("requests")]


def ejections(world: World, name: str) -> int:
    return world.stat(f"cluster.provider_{name}_pool.outlier_detection.ejections_active")


@pytest.fixture
def rested(world: World) -> None:
    """Nobody is passed over any more."""
    wait_for(lambda: ejections(world, "flaky") == 0, "the end of the cooldown", 30)
    # A success ends the count of failures in a row.
    assert chat(world, "in-order").status_code == 200
    world.forget()


def chat(world: World, alias: str) -> httpx.Response:
    return world.gateway.chat("app", model=alias)


@pytest.mark.usefixtures("rested")
@pytest.mark.parametrize("status", [429, 500])
def test_a_provider_that_fails_is_passed_over_for_a_while_and_asked_again_then(
    world: World, status: int
) -> None:
    with failing(world, "flaky", status=status):
        answers = [chat(world, "in-order").status_code for _ in range(8)]
        wait_for(lambda: ejections(world, "flaky") == 1, "the cooldown", 2)
        world.forget()
        answers += [chat(world, "in-order").status_code for _ in range(3)]
        assert (answers, asked(world)) == ([200] * 11, ["steady"] * 3)
    world.forget()
    wait_for(lambda: chat(world, "in-order").text and "flaky" in asked(world), "its return", 30)


@pytest.mark.usefixtures("rested")
def test_a_provider_that_cools_down_still_answers_those_who_have_no_other(world: World) -> None:
    with failing(world, "flaky"):
        for _ in range(8):
            chat(world, "in-order")
        wait_for(lambda: ejections(world, "flaky") == 1, "the cooldown", 2)
        world.forget()
        alone = [chat(world, "to-flaky") for _ in range(8)]
    assert [answer.status_code for answer in alone] == [429] * 8
    assert asked(world) == ["flaky"] * 8


@pytest.mark.usefixtures("rested")
def test_when_all_fail_the_caller_gets_the_last_ones_own_answer(world: World) -> None:
    with failing(world, "flaky", "steady"):
        answers = [chat(world, "in-order").status_code for _ in range(10)]
    assert answers == [429] * 10
    assert asked(world).count("steady") == 10
    assert world.plain.control("leaks") == []


# Rotation


def first_key(folder: Path, *, mounted: bool) -> None:
    """A key file, in a folder or as Kubernetes mounts a secret: key -> ..data/key."""
    folder.mkdir()
    if not mounted:
        (folder / "key").write_text("sk-e2e-of-rotated-0001")
        return
    swap(folder, "sk-e2e-of-rotated-0001")
    (folder / "key").symlink_to("..data/key")


def swap(folder: Path, key: str) -> None:
    """What kubelet does: a new folder, and ..data renamed to point there."""
    there = folder / f"..{key[-4:]}"
    there.mkdir()
    (there / "key").write_text(key)
    (folder / "..data.new").symlink_to(there.name)
    (folder / "..data.new").rename(folder / "..data")


def rename(folder: Path, key: str) -> None:
    (folder / "new").write_text(key)
    (folder / "new").rename(folder / "key")


@pytest.mark.parametrize(("place", "replace"), [("renamed", rename), ("mounted", swap)])
def test_a_renewed_key_is_used_within_seconds_and_a_stream_goes_on(
    world: World, place: str, replace: Any
) -> None:
    envoy, new = world.gateway.pid_of("envoy"), "sk-e2e-of-rotated-0002"
    body = {"model": f"to-{place}", "messages": [{"role": "user", "content": "x"}], "stream": True}
    slow = {
        "authorization": f"Bearer {test_key('app')}",
        "x-simulate": "completion_tokens=40,token_delay_ms=100",
    }
    with world.gateway.http.stream("POST", "/v1/chat/completions", json=body, headers=slow) as got:
        lines = got.iter_lines()
        assert next(lines).startswith("data: ")
        replace(world.folder / place, new)
        wait_for(lambda: credential_of(world, place) == f"Bearer {new}", "the new key")
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert world.gateway.pid_of("envoy") == envoy
    os.kill(envoy, 0)


def credential_of(world: World, place: str) -> str:
    """With which a provider is called now."""
    assert world.call(place).status_code == 200
    received = world.plain.control("requests")[-1]
    return next(value for name, value in received["headers"] if name.lower() == "authorization")
