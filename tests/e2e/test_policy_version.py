"""One version of the policy, the same wherever it is shown, and who has not got it is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, wait_for
from tollhouse.policy.compiler import load_snapshot

SHOWN = e2e_policy.ORG + "show_policy_version: true\n"
HEADER = "x-tollhouse-policy"
# So short that Envoy takes it for none, and does not take the cluster.
REFUSED = """\
  broken:
    dialect: openai
    base_url: https://broken.test/v1
    api_key: ${BROKEN_API_KEY}
    connect_timeout_seconds: 0.0000001
"""
# A file that is there, and that Envoy does not read: it keeps out of /proc.
NO_CREDENTIAL = """\
  broken:
    dialect: openai
    base_url: https://broken.test/v1
    api_key: file:/proc/version
"""
ALIAS = f"  chat-broken: {{provider: broken, model: x, price: {e2e_policy.PRICE}}}\n"


class Shown:
    """A gateway that shows its policy's version, and the tree it follows."""

    def __init__(self, gateway: Gateway, policies: Path) -> None:
        self.gateway = gateway
        self.policies = policies

    @property
    def version(self) -> str:
        """That of the tree on disk."""
        return load_snapshot(self.policies).version

    def envoy(self) -> dict[str, Any]:
        url = f"{self.gateway.up['admin_endpoint']}/stats?format=json&filter=version_text"
        stats = httpx.get(url, trust_env=False).json()["stats"]
        return {one["name"]: one["value"] for one in stats}

    def status(self, *options: str) -> tuple[int, dict[str, Any]]:
        done = tollhouse("status", "--format", "json", *options)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def here(self) -> tuple[int, dict[str, Any]]:
        return self.status("--run-dir", str(self.gateway.run_dir))

    def settled(self) -> None:
        wait_for(lambda: self.here()[0] == 0, "agreement")

    def said(self) -> str:
        return (self.gateway.run_dir / "up.log").read_text()


def tollhouse(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tollhouse", *words],
        env={**os.environ, "COLUMNS": "300", "NO_COLOR": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    root = tmp_path_factory.mktemp("version")
    policies = e2e_policy.write(root / "policies", org=SHOWN)
    with running(policies, root / "run") as gateway:
        yield Shown(gateway, policies)


@pytest.fixture
def shown(started: Shown) -> Iterator[Shown]:
    yield started
    e2e_policy.write(started.policies, org=SHOWN)
    started.settled()


def test_an_edit_has_the_same_version_in_log_metric_header_envoy_terminal_and_status(
    shown: Shown,
) -> None:
    before = shown.version
    e2e_policy.write(shown.policies, org=SHOWN + "usage_retention_days: 90\n")
    version = shown.version
    assert version != before
    wait_for(lambda: shown.here()[1]["version"] == version and shown.here()[0] == 0, "agreement")
    answer = shown.gateway.chat("app")
    assert answer.headers[HEADER] == version
    line = shown.gateway.log_line(answer.headers["x-request-id"])
    assert line["policy_version"] == version
    for service in ("authz_service", "ratelimit_service"):
        assert shown.gateway.metric(service, "tollhouse_policy_info", version=version) == 1
        assert f'"policy_version": "{version}"' in shown.gateway.stderr_of(service)
    told = shown.envoy()
    assert told["cluster_manager.cds.version_text"] == version
    assert told["http.tollhouse.rds.tollhouse.version_text"] == version
    wait_for(lambda: f"Envoy has taken policy {version}" in shown.said(), "the terminal")


@pytest.mark.parametrize(
    ("key", "fields", "status"),
    [
        ("app", {}, 200),
        ("app", {"stream": True}, 200),
        ("nobody", {}, 401),
        ("blocked", {}, 403),
        ("app", {"model": "nothing"}, 404),
        ("broke", {}, 429),  # refused by ratelimit_service, after authz_service
    ],
)
def test_every_answer_that_a_policy_decided_says_which(
    shown: Shown, key: str, fields: dict[str, Any], status: int
) -> None:
    answer = shown.gateway.chat(key, **fields)
    assert (answer.status_code, answer.headers.get_list(HEADER)) == (status, [shown.version])


def test_the_list_of_models_and_an_answer_of_a_provider_say_it_too(shown: Shown) -> None:
    failing = shown.gateway.chat("app", headers={"x-simulate": "status=500"})
    assert failing.status_code == 500
    assert failing.headers.get_list(HEADER) == [shown.version]
    listed = shown.gateway.client("app").models.with_raw_response.list()
    assert listed.headers[HEADER] == shown.version


def test_a_version_that_a_client_sends_means_nothing(shown: Shown) -> None:
    shown.gateway.forget()
    answer = shown.gateway.chat("app", headers={HEADER: "spoofed"})
    assert answer.headers.get_list(HEADER) == [shown.version]
    assert [one.header(HEADER) for one in shown.gateway.received()] == [None]


def test_unless_the_policy_says_so_no_answer_shows_its_version(gateway: Gateway) -> None:
    assert HEADER not in gateway.chat("app").headers
    assert HEADER not in gateway.chat("blocked").headers


# Envoy's acceptance


def write_with(shown: Shown, provider: str) -> None:
    e2e_policy.write(
        shown.policies,
        org=SHOWN,
        providers=e2e_policy.PROVIDERS + provider,
        models=e2e_policy.MODELS + ALIAS,
        teams__web=e2e_policy.TEAM.replace("[chat, ", "[chat, chat-broken, "),
    )


def only_that_provider_is_without_service(shown: Shown) -> bool:
    broken = shown.gateway.chat("app", model="chat-broken")
    assert broken.json()["error"]["code"] == "provider_error"
    return shown.gateway.chat("app").status_code == 200


def test_what_envoy_refuses_is_said_and_only_that_provider_is_without_service(
    shown: Shown,
) -> None:
    good = shown.version
    write_with(shown, REFUSED)
    version = shown.version
    refusal = f"Envoy refused cluster_manager.cds of policy {version}"
    wait_for(lambda: refusal in shown.said(), "the refusal")
    assert "ConnectTimeout: value must be greater than 0s" in shown.said()
    code, told = shown.here()
    envoy = told["parts"][-1]
    assert (code, envoy["kind"], envoy["ok"]) == (1, "envoy", False)
    assert envoy["version"] == f"clusters {good}, routes {version}"
    assert envoy["refusals"] > 0
    assert only_that_provider_is_without_service(shown)


def test_a_credential_that_envoy_refuses_is_said_and_only_that_provider_is_without_service(
    shown: Shown,
) -> None:
    write_with(shown, NO_CREDENTIAL)
    refusal = f"Envoy refused sds.broken of policy {shown.version}"
    wait_for(lambda: refusal in shown.said(), "the refusal")
    assert only_that_provider_is_without_service(shown)


@pytest.mark.parametrize("refused", [False, True])
def test_rendering_once_with_envoys_admin_fails_if_envoy_does_not_take_it(
    shown: Shown, tmp_path: Path, refused: bool
) -> None:
    """Into the folder of the Envoy that runs, as whoever deploys without --watch does."""
    run, up = shown.gateway.run_dir, shown.gateway.up
    providers = "".join(
        f"  {name}: {{dialect: openai, base_url: {up['simulator']}/v1,"
        f" api_key: 'file:{run}/simulator.key'}}\n"
        for name in ("openai", "other")
    )
    policies = e2e_policy.write(
        tmp_path / "policies",
        org=SHOWN,
        providers="providers:\n" + providers + (REFUSED if refused else ""),
    )
    done = tollhouse(
        *("render", "--policies", str(policies), "--out", str(run / "envoy")),
        *("--access-log", str(run / "access.json")),
        *("--envoy-admin", up["admin_endpoint"].removeprefix("http://")),
    )
    version = load_snapshot(policies).version
    if refused:
        assert f"Envoy refused cluster_manager.cds of policy {version}" in done.stdout
    else:
        assert f"Envoy has taken policy {version}" in done.stdout, done.stdout
    assert done.returncode == int(refused)
    # `up` renders its own policy again at the next edit.
    e2e_policy.write(shown.policies, org=SHOWN + f"usage_retention_days: {70 + refused}\n")
    shown.settled()


# tollhouse status


def test_when_all_agree_status_is_0_and_every_part_has_the_version(shown: Shown) -> None:
    code, told = shown.here()
    assert (code, told["ok"], told["version"]) == (0, True, shown.version)
    assert [part["kind"] for part in told["parts"]] == ["disk", "authz", "ratelimit", "envoy"]
    assert {part["version"] for part in told["parts"]} == {shown.version}
    plain = tollhouse("status", "--run-dir", str(shown.gateway.run_dir))
    assert plain.returncode == 0
    assert plain.stdout.endswith(f"All are ready and go by policy {shown.version}.\n")


def test_a_bad_edit_is_in_the_status_of_disk_and_services_with_its_first_problem(
    shown: Shown,
) -> None:
    version = shown.version
    e2e_policy.write(shown.policies, org="orgg: acme\n")
    wait_for(lambda: sum(part["stale"] for part in shown.here()[1]["parts"]) == 2, "both stale")
    code, told = shown.here()
    disk, authz, ratelimit, envoy = told["parts"]
    assert (code, disk["version"], envoy["ok"]) == (1, None, True)
    for part in (disk, authz, ratelimit):
        assert part["problem"].startswith("org.yaml:1:1: unknown field 'orgg'")
        assert not part["ok"]
    assert (authz["version"], authz["ready"]) == (version, True)
    plain = tollhouse("status", "--run-dir", str(shown.gateway.run_dir)).stdout
    assert [line.split()[1] for line in plain.splitlines() if line.startswith("!")] == [
        *("disk", "authz", "ratelimit")
    ]


def test_parts_can_be_named_by_their_urls_as_often_as_there_are_replicas(
    shown: Shown, gateway: Gateway
) -> None:
    ours, others = shown.gateway.up["metrics"], gateway.up["metrics"]
    named = ("--authz", ours["authz_service"], "--authz", others["authz_service"])
    code, told = shown.status(*named, "--policies", str(shown.policies))
    assert code == 1
    assert [(part["kind"], part["ok"]) for part in told["parts"]] == [
        *(("disk", True), ("authz", True), ("authz", False))
    ]
