"""A policy is edited while the gateway runs: what is good is in force within two seconds, what is
bad changes nothing and is named."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.policy.compiler import load_snapshot

SECONDS = 2.0
SERVICES = ("authz_service", "ratelimit_service")


class Edited:
    """A gateway, and the policy tree it follows."""

    def __init__(self, gateway: Gateway, policies: Path) -> None:
        self.gateway = gateway
        self.policies = policies

    def write(self, name: str, text: str) -> None:
        (self.policies / f"{name.replace('__', '/')}.yaml").write_text(text)

    def soon(self, condition: Callable[[], Any], what: str) -> None:
        wait_for(condition, what, SECONDS)

    def status(self, key: str, **fields: Any) -> int:
        return self.gateway.chat(key, **fields).status_code

    def reloads(self, service: str, result: str) -> float:
        return self.gateway.metric(service, "tollhouse_policy_reloads_total", result=result)

    def versions(self, version: str) -> list[float]:
        """Whether each service shows this one, 1 or 0."""
        name = "tollhouse_policy_info"
        return [self.gateway.metric(service, name, version=version) for service in SERVICES]

    def stale(self) -> list[float]:
        return [self.gateway.metric(service, "tollhouse_policy_stale") for service in SERVICES]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edited]:
    root = tmp_path_factory.mktemp("reload")
    policies = e2e_policy.write(root / "policies")
    with running(policies, root / "run") as gateway:
        yield Edited(gateway, policies)


@pytest.fixture
def edited(started: Edited) -> Iterator[Edited]:
    """Each test finds the tree as it was, and leaves it so."""
    started.gateway.forget()
    yield started
    shutil.rmtree(started.policies / "teams")
    e2e_policy.write(started.policies)
    wait_for(lambda: started.stale() == [0, 0] and started.status("app") == 200, "the repair")


# Good edits


def test_a_new_key_works_and_a_removed_one_does_not(edited: Edited) -> None:
    assert edited.status("newcomer") == 401
    edited.write("teams__web", e2e_policy.TEAM + e2e_policy.key("newcomer"))
    edited.soon(lambda: edited.status("newcomer") == 200, "the new key")
    edited.write("teams__web", e2e_policy.TEAM)
    edited.soon(lambda: edited.status("newcomer") == 401, "the end of the key")


def test_an_alias_taken_from_the_list_is_refused(edited: Edited) -> None:
    team = e2e_policy.TEAM.replace("allowed_models: [chat, ", "allowed_models: [")
    edited.write("teams__web", team)
    edited.soon(lambda: edited.status("app") == 403, "the narrowing")
    assert edited.status("app", model="chat-other") == 200


def test_a_lower_limit_refuses_and_a_higher_one_admits_again(edited: Edited) -> None:
    low = e2e_policy.key("counted", "  limits: {requests_per_minute: 1}")
    high = e2e_policy.TEAM + low.replace("minute: 1", "minute: 1000")
    edited.write("teams__web", high)
    edited.soon(lambda: edited.status("counted") == 200, "the key")
    assert edited.status("counted") == 200
    edited.write("teams__web", e2e_policy.TEAM + low)
    edited.soon(lambda: edited.status("counted") == 429, "the lower limit")
    edited.write("teams__web", high)
    edited.soon(lambda: edited.status("counted") == 200, "the higher limit")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("org", "org: acme", "org: acme\nlimits: {requests_per_day: 3}"),
        ("models", "    tags: [cheap]", "    tags: [cheap]\n    limits: {requests_per_day: 3}"),
    ],
    ids=["org", "alias"],
)
def test_a_limit_that_is_new_knows_what_was_taken_before(
    edited: Edited, file: str, old: str, new: str
) -> None:
    answers = [edited.gateway.chat("app") for _ in range(3)]
    edited.gateway.settled(answers[-1].headers["x-request-id"])
    text = (edited.policies / f"{file}.yaml").read_text()
    edited.write(file, text.replace(old, new, 1))
    version = load_snapshot(edited.policies).version
    edited.soon(lambda: edited.versions(version) == [1, 1], "the limit")
    assert edited.status("app") == 429


def test_a_new_price_is_in_the_log_line_and_so_is_the_version_that_every_service_shows(
    edited: Edited,
) -> None:
    dearer = e2e_policy.MODELS.replace("input_per_million: 2.5", "input_per_million: 3.5")
    edited.write("models", dearer)

    def line() -> dict[str, Any] | None:
        answer = edited.gateway.chat("app")
        logged = edited.gateway.log_line(answer.headers["x-request-id"])
        return logged if logged["price"]["input_per_million"] == "3.5" else None

    version = wait_for(line, "the new price", SECONDS)["policy_version"]
    edited.soon(lambda: edited.versions(version) == [1, 1], "the version in both services")


def test_a_new_provider_needs_no_restart_and_cuts_no_stream(edited: Edited) -> None:
    gateway, secret = edited.gateway, edited.policies.parent / "third.key"
    secret.write_text((gateway.run_dir / "simulator.key").read_text())
    before = gateway.pid_of("envoy")
    with running_stream(gateway) as lines:
        assert next(lines).startswith("data: ")
        third = PROVIDER.format(url=gateway.up["simulator"], file=secret)
        edited.write("providers", e2e_policy.PROVIDERS + third)
        edited.write("models", e2e_policy.MODELS + ALIAS)
        team = e2e_policy.TEAM.replace("[chat, ", "[chat, chat-third, ")
        edited.write("teams__web", team)
        edited.soon(lambda: edited.status("app", model="chat-third") == 200, "the new provider")
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert gateway.pid_of("envoy") == before
    received = [one for one in gateway.received() if b'"third-large"' in one.body]
    assert received and received[0].provider_key_ok


PROVIDER = """\
  third:
    dialect: openai
    base_url: {url}/v1
    api_key: file:{file}
"""
ALIAS = f"""\
  chat-third:
    provider: third
    model: third-large
    price: {e2e_policy.PRICE}
"""


@contextlib.contextmanager
def running_stream(gateway: Gateway) -> Iterator[Iterator[str]]:
    """The lines of a stream of 40 chunks in 4 seconds."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "x"}], "stream": True}
    headers = {
        "authorization": f"Bearer {test_key('app')}",
        "x-simulate": "completion_tokens=40,token_delay_ms=100",
    }
    with gateway.http.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
        assert answer.status_code == 200
        yield answer.iter_lines()


# Ways of saving


def rename(policies: Path, text: str) -> None:
    new = policies / "teams/.web.yaml.swp"
    new.write_text(text)
    new.replace(policies / "teams/web.yaml")


def delete_and_create(policies: Path, text: str) -> None:
    path = policies / "teams/web.yaml"
    path.unlink()
    path.write_text(text)


def write_in_pieces(policies: Path, text: str) -> None:
    with (policies / "teams/web.yaml").open("w") as file:
        for start in range(0, len(text), 100):
            file.write(text[start : start + 100])
            file.flush()


def another_file(policies: Path, text: str) -> None:
    (policies / "teams/web.yaml").rename(policies / "teams/frontend.yaml")
    (policies / "teams/frontend.yaml").write_text(text)


@pytest.mark.parametrize("save", [rename, delete_and_create, write_in_pieces, another_file])
def test_however_an_editor_saves_the_edit_is_seen(
    edited: Edited, save: Callable[[Path, str], None]
) -> None:
    save(edited.policies, e2e_policy.TEAM + e2e_policy.key("saved"))
    edited.soon(lambda: edited.status("saved") == 200, "the edit")


def test_a_half_written_file_is_not_taken_and_its_completion_is(edited: Edited) -> None:
    text = e2e_policy.TEAM + e2e_policy.key("completed")
    edited.write("teams__web", text[: text.index("sha256")])
    edited.soon(lambda: edited.stale() == [1, 1], "tollhouse_policy_stale")
    assert edited.status("app") == 200
    edited.write("teams__web", text)
    edited.soon(lambda: edited.status("completed") == 200, "the completion")
    edited.soon(lambda: edited.stale() == [0, 0], "tollhouse_policy_stale")


def test_the_swap_of_a_mounted_configmap_is_seen(tmp_path: Path) -> None:
    """Kubernetes: files are links into ..data, a link that is replaced by rename."""
    mount = tmp_path / "policies"
    mount.mkdir()
    e2e_policy.write(mount / "..first")
    e2e_policy.write(mount / "..second", teams__web=e2e_policy.TEAM + e2e_policy.key("mounted"))
    (mount / "..data").symlink_to("..first")
    for name in ("org.yaml", "providers.yaml", "models.yaml", "teams"):
        (mount / name).symlink_to(f"..data/{name}")
    with running(mount, tmp_path / "run") as gateway:
        assert gateway.chat("mounted").status_code == 401
        (mount / "..new").symlink_to("..second")
        (mount / "..new").replace(mount / "..data")
        wait_for(lambda: gateway.chat("mounted").status_code == 200, "the swap", SECONDS)


# Bad edits

BAD = {
    "broken YAML": (
        "models",
        "models:\n  chat: {provider: openai\n",
        "models.yaml:3:1: not valid YAML",
    ),
    "an unknown field": (
        "org",
        e2e_policy.ORG + "max_requests: 3\n",
        "org.yaml:5:1: unknown field 'max_requests'",
    ),
    "an unknown model": (
        "teams__web",
        e2e_policy.TEAM.replace("[chat, ", "[chatt, "),
        "teams/web.yaml:5:22: unknown model 'chatt': did you mean 'chat'?",
    ),
    "an empty file": ("providers", "", "providers.yaml:1:1: the file is empty"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_keeps_the_last_good_policy_and_is_named_everywhere(
    edited: Edited, what: str
) -> None:
    name, text, problem = BAD[what]
    failures = {service: edited.reloads(service, "failure") for service in SERVICES}
    edited.write(name, text)
    edited.soon(lambda: edited.stale() == [1, 1], "tollhouse_policy_stale")
    assert edited.status("app") == 200
    for service in SERVICES:
        assert edited.reloads(service, "failure") == failures[service] + 1
        assert problem in edited.gateway.stderr_of(service)
    up_log = edited.gateway.run_dir / "up.log"
    edited.soon(lambda: problem in up_log.read_text(), "the problem in the terminal")
    assert "the last good one stays in force" in up_log.read_text()
    check = subprocess.run(
        [sys.executable, "-m", "tollhouse", "check", str(edited.policies)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 1
    assert f"{edited.policies}/{problem}" in check.stderr


def test_a_bad_file_beside_a_good_edit_holds_both_back_until_it_is_repaired(
    edited: Edited,
) -> None:
    edited.write("org", "org: [")
    edited.soon(lambda: edited.stale() == [1, 1], "tollhouse_policy_stale")
    edited.write("teams__web", e2e_policy.TEAM + e2e_policy.key("late"))
    edited.soon(lambda: edited.reloads("authz_service", "failure") >= 2, "the second failure")
    assert edited.status("late") == 401
    edited.write("org", e2e_policy.ORG)
    edited.soon(lambda: edited.status("late") == 200, "both edits")
    edited.soon(lambda: edited.stale() == [0, 0], "tollhouse_policy_stale")


def test_a_tree_that_vanishes_leaves_the_gateway_serving(edited: Edited) -> None:
    away = edited.policies.with_name("away")
    edited.policies.rename(away)
    edited.soon(lambda: edited.stale() == [1, 1], "tollhouse_policy_stale")
    assert edited.status("app") == 200
    away.rename(edited.policies)
    edited.soon(lambda: edited.stale() == [0, 0], "its return")
