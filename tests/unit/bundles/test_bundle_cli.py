"""`tollhouse policy`, run as its users run it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.policy import SHA256, write_tree
from tests.unit.bundles.builders import OTHER_KEY, Site, policy
from tollhouse.bundles.publisher import Publisher

SERIAL = r"\d{13}"


@dataclass
class Shell:
    """A directory of its own, and an environment that names Redis and the signing key."""

    site: Site
    folder: Path

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "COLUMNS": "300", "NO_COLOR": "1", "REDIS_URL": self.site.url}
        env["TOLLHOUSE_SIGNING_KEY_FILE"] = str(self.folder / "keys" / "policy-signing.key")
        return subprocess.run(
            [sys.executable, "-m", "tollhouse", "policy", *words],
            cwd=self.folder,
            env={**env, **environment},
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    def publish(self, *words: str) -> dict[str, int]:
        shown = self.run("publish", "--json", *words)
        assert shown.returncode == 0, shown.stderr
        done: dict[str, int] = json.loads(shown.stdout)
        return done


@pytest.fixture
def shell(site: Site, tmp_path: Path) -> Shell:
    write_tree(tmp_path / "policies")
    shell = Shell(site, tmp_path)
    made = shell.run("keygen", "--out", "keys")
    assert made.returncode == 0, made.stderr
    return shell


def test_keygen_names_both_files_and_prints_no_key(shell: Shell) -> None:
    made = shell.run("keygen", "--out", "more")
    assert re.match(
        r"more/policy-signing\.key  signs .*\nmore/policy-signing\.pub  verifies", made.stdout
    )
    secret = (shell.folder / "more" / "policy-signing.key").read_text().splitlines()[1]
    assert secret not in made.stdout + made.stderr
    again = shell.run("keygen", "--out", "more")
    assert (again.returncode, again.stdout) == (1, "")
    assert "is there already: choose another directory" in again.stderr


def test_publish_says_what_it_put_in_force_and_what_it_replaced(shell: Shell) -> None:
    first = shell.run("publish", "--by", "alice")
    said = rf"policy [0-9a-f]{{12}} is published as bundle ({SERIAL}), [\d,]+ bytes\. "
    found = re.fullmatch(
        said + r"It replaces nothing, for no bundle was in force\.\n", first.stdout
    )
    assert found, first.stdout
    second = shell.run("publish")
    replaced = rf"It replaces bundle {found[1]} \(policy [0-9a-f]{{12}}\)\.\n"
    assert re.fullmatch(said + replaced, second.stdout)


def test_a_wrong_tree_is_refused_with_its_problems_and_nothing_is_published(shell: Shell) -> None:
    write_tree(shell.folder / "policies", org="orgg: x\n")
    shown = shell.run("publish")
    assert shown.stderr.splitlines()[0].startswith("org.yaml:1:1: unknown field 'orgg'")
    assert shown.stderr.splitlines()[1] == "error: 1 problem(s): nothing was published."
    assert (shown.returncode, shown.stdout, shell.site.store.serial()) == (1, "", 0)


def test_a_dry_run_says_what_it_would_replace_and_publishes_nothing(shell: Shell) -> None:
    serial = shell.publish()["serial"]
    shown = shell.run("publish", "--dry-run")
    assert shown.stdout.startswith("dry run, nothing was published: policy ")
    assert f" would replace bundle {serial} (policy " in shown.stdout
    assert (shown.returncode, shell.site.store.serial()) == (0, serial)
    other = shell.run("publish", "--dry-run", "--if-serial", "5")
    assert (other.returncode, other.stdout) == (3, "")


def test_publish_if_serial_replaces_that_bundle_or_nothing(shell: Shell) -> None:
    first = shell.publish("--if-serial", "0")["serial"]
    second = shell.publish("--if-serial", str(first))
    assert second["replaced"] == first
    late = shell.run("publish", "--if-serial", str(first))
    assert (late.returncode, late.stdout) == (3, "")
    assert late.stderr.startswith(
        f"error: bundle {second['serial']} is in force, not bundle {first}: nothing was published."
    )
    assert shell.site.store.serial() == second["serial"]


def test_list_shows_the_last_bundles_with_who_and_which_is_in_force(shell: Shell) -> None:
    assert shell.run("list").stdout == "no bundle was published yet\n"
    first = shell.publish("--by", "alice")["serial"]
    published = Publisher(shell.site.store, OTHER_KEY, "bob\x1b[2J").publish(policy(shell.folder))
    second = published.header.serial
    heading, *rows, mark = shell.run("list").stdout.splitlines()
    assert heading.split() == ["serial", "policy", "published", "(UTC)", "key", "by"]
    ends = [(row[:15], row.split()[-1]) for row in rows]
    # What would clear the reader's terminal does not.
    assert ends == [(f"* {second}", "bob?[2J"), (f"  {first}", "alice")]
    assert mark == "* in force"
    listed = json.loads(shell.run("list", "--json").stdout)
    assert listed["current"] == second
    assert [each["by"] for each in listed["bundles"]] == ["bob\x1b[2J", "alice"]


def test_show_says_what_a_bundle_holds(shell: Shell) -> None:
    serial = str(shell.publish("--by", "alice")["serial"])
    public = ("--public-key", "keys/policy-signing.pub")
    shown = shell.run("show", serial, *public).stdout
    assert re.match(rf"bundle {serial}, [\d,]+ bytes, signed by key [0-9a-f]{{12}}\n", shown)
    assert " by alice\n" in shown
    assert shown.endswith(": 1 teams, 1 keys, 1 models, 1 providers\n")
    content = json.loads(shell.run("show", serial, *public, "--json").stdout)
    assert [key["sha256"] for key in content["keys"].values()] == [SHA256]
    missing = shell.run("show", "5", *public)
    assert missing.stderr.startswith("error: Redis has no bundle 5: it keeps the last 10")
    assert missing.returncode == 1


def test_rollback_publishes_an_earlier_policy_under_a_new_serial(shell: Shell) -> None:
    first = shell.publish()
    write_tree(shell.folder / "policies", org="org: other\n")
    second = shell.publish()
    done = shell.run("rollback", str(first["serial"]), "--by", "alice")
    assert f"(a copy of {first['serial']})" in done.stdout
    assert f"It replaces bundle {second['serial']} " in done.stdout
    bundles = shell.site.replica_of(shell.folder / "keys" / "policy-signing.pub")
    assert bundles.load().org.name == "acme"
    assert bundles.serial > second["serial"]


def test_rollback_does_not_sign_what_somebody_put_into_redis(shell: Shell) -> None:
    forged = shell.site.publish("forged", key=OTHER_KEY).header.serial
    shown = shell.run("rollback", str(forged))
    assert shown.stderr.startswith(f"error: bundle {forged} cannot be used: it is signed by key")
    assert (shown.returncode, shell.site.store.serial()) == (1, forged)


def test_a_redis_that_is_away_is_told_without_its_password(shell: Shell) -> None:
    shown = shell.run("publish", REDIS_URL="redis://user:hidden@127.0.0.1:1")
    assert shown.stderr == "error: Redis cannot be used (ConnectionError)\n"
    assert (shown.returncode, shown.stdout) == (1, "")


def test_a_signing_key_that_is_none_is_told(shell: Shell) -> None:
    shown = shell.run("publish", "--signing-key", "keys/policy-signing.pub")
    assert "is not an Ed25519 private key in PEM" in shown.stderr
    assert (shown.returncode, shell.site.store.serial()) == (1, 0)
