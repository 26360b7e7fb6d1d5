"""The services of docker-compose.yml, run as it says, are a gateway."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from tests.deploy import compose, stack
from tests.deploy.compose import ROOT
from tests.deploy.stack import PROVIDER_KEY, Stack
from tests.simulator import simulator_process
from tests.support.gateway import wait_for
from tollhouse.demo import DEMO_KEYS

CHECKED = [name for name, one in compose.services().items() if "healthcheck" in one]
TEAM = "teams/marketing.yaml"
KEYS = "    keys:\n"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With the example policies, but for OpenAI, which a simulator plays."""
    root = tmp_path_factory.mktemp("compose")
    shutil.copytree(ROOT / "policies", root / "policies")
    with simulator_process.running(root, "--key", PROVIDER_KEY) as openai:
        replace(root / "policies/providers.yaml", "https://api.openai.com", openai.url)
        with stack.running(root) as running:
            yield running


@pytest.fixture(scope="module")
def client(gateway: Stack) -> Iterator[httpx.Client]:
    """Trusts the certificate that the one-shot made, and no other."""
    trusted = ssl.create_default_context(cafile=gateway.root / "certs/tls.crt")
    with httpx.Client(base_url=gateway.endpoint, verify=trusted, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def key(gateway: Stack, client: httpx.Client) -> str:
    """Made in the image, put into the policy of the running gateway, and in force."""
    made = in_image(gateway, "tollhouse", "keys", "new", "website-new-1")
    key, stanza = made.stderr.split()[0], made.stdout
    lines = "".join(f"      {line}\n" for line in stanza.splitlines())
    replace(gateway.root / "policies" / TEAM, KEYS, KEYS + lines)
    wait_for(lambda: chat(client, key).status_code == 200, "the new key in force")
    return key


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def in_image(gateway: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """As `docker compose run --rm render WORDS`."""
    return subprocess.run(
        [*compose.entrypoint(), *words],
        env=gateway.environment("render"),
        capture_output=True,
        check=True,
        text=True,
        timeout=30,
    )


def chat(client: httpx.Client, key: str, **headers: str) -> httpx.Response:
    body = {"model": "gpt4_limited", "messages": [{"role": "user", "content": "Say hello"}]}
    sent = {"authorization": f"Bearer {key}", **headers}
    return client.post("/v1/chat/completions", json=body, headers=sent)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# It runs


@pytest.mark.parametrize("name", CHECKED)
def test_the_health_check_of_a_service_that_runs_succeeds(gateway: Stack, name: str) -> None:
    assert gateway.is_healthy(name)


@pytest.mark.parametrize("name", CHECKED)
def test_the_health_check_of_a_service_that_does_not_run_fails(tmp_path: Path, name: str) -> None:
    assert not Stack(tmp_path).is_healthy(name)


def test_the_endpoint_is_well_under_the_certificate_that_was_made(client: httpx.Client) -> None:
    assert client.get("/healthz").status_code == 200


def test_a_key_made_in_the_image_reaches_the_provider_with_the_secret_of_envoys_environment(
    client: httpx.Client, key: str
) -> None:
    answer = chat(client, key)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"].startswith("tok1 ")


@pytest.mark.parametrize("key_id", sorted(DEMO_KEYS))
def test_a_published_demo_key_is_refused(client: httpx.Client, key_id: str) -> None:
    refused = chat(client, DEMO_KEYS[key_id])
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "key_blocked")


def test_the_access_log_has_the_call(gateway: Stack, client: httpx.Client, key: str) -> None:
    request_id = chat(client, key).headers["x-request-id"]
    log = gateway.root / "log/access.json"
    wait_for(lambda: request_id in log.read_text(), "the line in the access log")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [line] = [one for one in lines if one["request_id"] == request_id]
    assert (line["key_id"], line["decision"], line["status"]) == ("website-new-1", "allowed", 200)


def test_a_provider_added_to_the_policy_reaches_envoy_without_a_restart(gateway: Stack) -> None:
    extra = "  acme:\n    dialect: openai\n    base_url: https://acme.test/v1\n"
    providers = gateway.root / "policies/providers.yaml"
    providers.write_text(f"{providers.read_text()}\n{extra}    api_key: ${{ACME_API_KEY}}\n")
    clusters = "/clusters?filter=provider.acme"
    wait_for(lambda: "provider.acme::" in gateway.scrape("envoy", clusters).text, "the cluster")


# What is left on volumes


@pytest.mark.parametrize("socket", ["authz.sock", "ratelimit.sock"])
def test_envoys_group_may_connect_to_the_sockets_and_others_may_not(
    gateway: Stack, socket: str
) -> None:
    assert mode(gateway.root / "run" / socket) == 0o770


def test_envoys_group_may_read_the_configuration_and_the_certificate_and_others_may_not(
    gateway: Stack,
) -> None:
    rendered = [path for path in (gateway.root / "envoy").rglob("*") if path.is_file()]
    assert {mode(path) for path in rendered} == {0o660}
    assert mode(gateway.root / "certs/tls.key") == 0o640
    assert mode(gateway.root / "certs/tls.crt") == 0o660


def test_the_certificate_is_made_once(gateway: Stack) -> None:
    files = [gateway.root / "certs/tls.crt", gateway.root / "certs/tls.key"]
    before = [path.read_bytes() for path in files]
    gateway.start_one("certs")
    assert [path.read_bytes() for path in files] == before
    said = gateway.log_of("certs").read_text().splitlines()
    assert [line.split(" in ")[0] for line in said] == [
        "certificate: made a self-signed one for localhost",
        "certificate: keeping the one",
    ]


def test_the_certificate_is_for_the_host_that_was_named_and_for_this_one(tmp_path: Path) -> None:
    script = ROOT / "deploy/make-certificate.sh"
    subprocess.run(["sh", script, tmp_path, "llm.acme.test"], check=True, capture_output=True)  # noqa: S607
    [made] = ssl.create_default_context(cafile=tmp_path / "tls.crt").get_ca_certs()
    names = (("DNS", "llm.acme.test"), ("DNS", "localhost"), ("IP Address", "127.0.0.1"))
    assert made["subjectAltName"] == names


def test_what_was_spent_survives_the_end_of_the_ledgers_process(
    gateway: Stack, client: httpx.Client, key: str
) -> None:
    def spent() -> int:
        with redis.Redis.from_url(gateway.ledger_url) as ledger:
            held = ledger.hlen("th:{team:marketing}:held")
            (month,) = ledger.keys("th:{team:marketing}:month:*") or [b""]
            return 0 if held else sum(map(int, ledger.hvals(month)))

    assert chat(client, key).status_code == 200
    before = wait_for(spent, "the settlement")
    gateway.stop_one("valkey")
    gateway.start_one("valkey")
    assert spent() == before
    wait_for(lambda: client.get("/healthz").status_code == 200, "recovery")


@pytest.mark.parametrize("name", ["render", "authz_service", "ratelimit_service", "valkey"])
def test_a_service_ends_well_when_docker_asks_it_to(tmp_path: Path, name: str) -> None:
    """Not by the signal itself: the first process of a container ignores one it does not handle."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    one = Stack(tmp_path)
    one.start_one("valkey")
    if name != "valkey":
        one.start_one(name)
    try:
        assert one.stop_one(name) == 0
    finally:
        one.stop()


# What Prometheus sees

JOBS = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())["scrape_configs"]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: str(job["job_name"]))
def test_what_prometheus_is_told_to_scrape_answers(gateway: Stack, job: dict[str, Any]) -> None:
    page = gateway.scrape(job["job_name"], job.get("metrics_path", "/metrics"))
    assert page.status_code == 200
    assert "# TYPE" in page.text
