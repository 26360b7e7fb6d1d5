"""The `tollhouse` command, run as its users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import wait_for
from tests.support.policy import KEY_ID, TREE, write_tree
from tollhouse import keys

OPTIONS = {
    "up": "--policies --port --run-dir --redis-url --tls-cert --tls-key --simulate",
    "check": "policies --format --strict",
    "schema": "kind --out",
    "render": "--out --policies --seen-as --listen --admin --authz --ratelimit --console"
    " --access-log --tls-cert --tls-key --services-ca --services-cert --services-key --watch"
    " --envoy-admin --policy --policy-redis-url --policy-public-key --policy-cache",
    "prices": "--alias --policies --format",
    "status": "--run-dir --policies --authz --ratelimit --envoy --format",
    "keys new": "ID --team --project --env --expires --allowed-models --owner --file --policies"
    " --json",
    "keys rotate": "ID --overlap --policies --json",
    "keys block": "ID --reason --policies",
    "keys unblock": "ID --policies",
    "keys expire": "ID --at --policies",
    "keys list": "--team --project --env --state --format --policies",
    "keys identify": "--policies --json",
    "import litellm": "CONFIG --out --keys --format",
    "policy keygen": "--out",
    "policy publish": "--signing-key --policies --redis-url --by --if-serial --dry-run --json",
    "policy rollback": "serial --signing-key --redis-url --public-key --by --if-serial --json",
    "policy list": "--redis-url --json",
    "policy show": "serial --public-key --redis-url --json",
    "audit verify": "FILES --head --start --redis-url --json",
    "audit search": "--report --log --audit --from --to --key --team --project --model --env"
    " --decision --actor --action --target --limit --format",
    "simulate": "--port --key --record",
    "explain": "--key --model --path --at --policies --format --demo-keys",
    "diff": "OLD NEW --format",
    "test": "FILES --policies --format --demo-keys",
    "replay": "--log --policies --against --format --demo-keys",
}
SECOND_PROVIDER = """\
  other:
    dialect: openai
    base_url: https://api.other.example/v1
    api_key: ${OTHER_API_KEY}
"""


def argv(*words: str) -> list[str]:
    return [sys.executable, "-m", "tollhouse", *words]


def run(command: list[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    # Wide and plain, so that a line is a line.
    env = {**os.environ, "COLUMNS": "300", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, check=False, text=True, timeout=60
    )


def tollhouse(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return run(argv(*words), cwd)


# Help


@pytest.mark.parametrize("command", OPTIONS)
def test_the_help_of_a_command_names_all_it_takes(command: str) -> None:
    shown = tollhouse(*command.split(), "--help")
    assert shown.returncode == 0
    named = set(re.findall(r"^│[ *]+(--[a-z-]+|\w+) ", shown.stdout, re.MULTILINE))
    assert named - {"--help"} == set(OPTIONS[command].split())


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (
            [],
            [
                *("up", "check", "schema", "render", "prices", "status", "simulate"),
                *("explain", "diff", "test", "replay"),
                *("keys", "ledger", "import", "policy", "tokens", "audit"),
            ],
        ),
        (["keys"], ["new", "rotate", "block", "unblock", "expire", "list", "identify"]),
        (["import"], ["litellm"]),
        (["audit"], ["verify", "search"]),
    ],
)
def test_without_a_command_the_commands_are_listed(words: list[str], commands: list[str]) -> None:
    shown = tollhouse(*words)
    assert (shown.returncode, shown.stderr) == (2, "")
    listed = re.findall(r"^│ (\w+)  +[A-Z]", shown.stdout, re.MULTILINE)
    assert listed == commands


# check


def test_check_counts_what_a_good_policy_holds(tmp_path: Path) -> None:
    shown = tollhouse("check", str(write_tree(tmp_path)))
    good = r"policy [0-9a-f]{12} is good: 1 teams, 1 keys, 1 models, 1 providers, 2 warning\(s\)\n"
    assert re.fullmatch(good, shown.stdout)
    assert shown.returncode == 0
    assert len(shown.stderr.splitlines()) == shown.stderr.count(": warning: ") == 2


def test_check_lists_every_problem_with_its_place_and_fails(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", org="# one\n" * 99 + "org: [a]\n", teams__web="team: web\nx: 1\n")
    shown = tollhouse("check", "tree", cwd=tmp_path)
    assert shown.stderr.splitlines() == [
        "tree/org.yaml:100:6: 'org' must be text, not a list",
        "tree/teams/web.yaml:2:1: unknown field 'x'; known: allowed_models, blocked,"
        " denied_models, environments, limits, model_limits, owner, projects, shadow, team",
        "2 problem(s): this policy would not be taken.",
    ]
    assert (shown.returncode, shown.stdout) == (1, "")


def test_check_of_no_directory_says_so(tmp_path: Path) -> None:
    shown = tollhouse("check", "nowhere", cwd=tmp_path)
    assert shown.stderr.splitlines()[0] == "nowhere:1:1: not a directory that can be read"
    assert shown.returncode == 1


# keys new


def test_a_new_key_is_shown_once_and_apart_from_its_stanza() -> None:
    shown = tollhouse("keys", "new", "app-1", "--env", "dev", "--expires", "2030-12-31")
    [key] = re.findall(r"tlh_\w+", shown.stderr)
    assert keys.looks_valid(key)
    assert shown.stdout == (
        f"- id: app-1\n  sha256: {keys.sha256_hex(key)}\n  env: dev\n  expires: 2030-12-31\n"
    )


@pytest.mark.parametrize("key_id", ["app-1", "no", "12", "2027-01-01", "1e5", "NULL"])
def test_check_accepts_the_stanza_where_it_is_told_to_be_pasted(
    tmp_path: Path, key_id: str
) -> None:
    stanza = tollhouse("keys", "new", key_id, "--expires", "2030-12-31").stdout
    indented = "".join(f"      {line}\n" for line in stanza.splitlines())
    write_tree(tmp_path, teams__web=TREE["teams/web.yaml"] + indented)
    shown = tollhouse("check", str(tmp_path))
    assert "1 teams, 2 keys" in shown.stdout, shown.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a b"], "the key's id must be letters, digits, '.', '_' or '-', beginning with"),
        (["x" * 129], "the key's id must be letters, digits,"),
        (["a", "--env", "a/b"], "the key's env must be letters, digits,"),
        (["a", "--expires", "soon"], "'soon' is not a date: write YYYY-MM-DD"),
        (["a", "--expires", "2027-02-30"], "'2027-02-30' is not a date: write YYYY-MM-DD"),
        (["a", "--expires", "1999-01-01"], "the key's expires must lie between the years 2000"),
    ],
)
def test_what_the_policy_would_refuse_makes_no_key(words: list[str], said: str) -> None:
    shown = tollhouse("keys", "new", *words)
    assert shown.stderr.startswith(f"error: {said}")
    assert "tlh_" not in shown.stderr
    assert (shown.returncode, shown.stdout) == (1, "")


def test_a_key_typed_where_its_id_belongs_is_not_repeated() -> None:
    key = keys.generate()
    shown = tollhouse("keys", "new", key)
    assert "the key's id looks like a key" in shown.stderr
    assert key not in shown.stderr + shown.stdout


# render


def test_render_says_what_it_wrote_and_the_second_time_nothing(tmp_path: Path) -> None:
    words = ("render", "--policies", str(write_tree(tmp_path / "policies")))
    first = tollhouse(*words, "--out", str(tmp_path / "out"))
    assert first.returncode == 0, first.stderr
    assert re.match(r"policy [0-9a-f]{12}: wrote envoy.yaml, lua/", first.stdout)
    assert first.stdout.endswith("secrets/openai.json, cds.json, ecds.json, rds.json\n")
    again = tollhouse(*words, "--out", str(tmp_path / "out"))
    assert again.stdout.endswith(": wrote nothing\n")


LISTENER = "--tls-cert and --tls-key go together: give both"
SERVICES = "--services-ca, --services-cert and --services-key go together: give all three"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--tls-cert", LISTENER),
        ("--tls-key", LISTENER),
        ("--services-ca", SERVICES),
        ("--services-cert --services-key", SERVICES),
        ("--services-ca --services-key", SERVICES),
    ],
)
def test_a_half_given_certificate_is_refused(tmp_path: Path, given: str, said: str) -> None:
    write_tree(tmp_path / "policies")
    options = [word for name in given.split() for word in (name, "/certs/x.pem")]
    shown = tollhouse("render", "--out", "out", *options, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (1, f"error: {said}\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--listen [::]:8080", "error: plain HTTP is for loopback only, and :: is not: "),
        ("--admin 10.0.0.1:9901", "error: Envoy's admin endpoint has no access control: "),
        ("--authz authz:9000", "error: the authz service at authz is not on this host: "),
        ("--listen [x]", "error: '[x]' is not an address: write host:port or unix:/path\n"),
        ("--policies nowhere", "error: nowhere:1:1: not a directory that can be read\n"),
        ("--out policies/org.yaml", "error: [Errno 17] File exists: "),
    ],
)
def test_what_cannot_be_rendered_is_said_in_a_line(tmp_path: Path, words: str, said: str) -> None:
    write_tree(tmp_path / "policies")
    shown = tollhouse("render", "--out", "out", *words.split(), cwd=tmp_path)
    assert shown.stderr.startswith(said)
    assert (shown.returncode, len(shown.stderr.splitlines())) == (1, 1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_render_watch_follows_every_good_edit_until_a_signal(
    tmp_path: Path, name: signal.Signals
) -> None:
    policies, out = write_tree(tmp_path / "policies"), tmp_path / "out"
    with (tmp_path / "said").open("w") as said:
        words = ("render", "--watch", "--policies", str(policies), "--out", str(out))
        process = subprocess.Popen(argv(*words), stdout=said, stderr=said)
    try:
        wait_for((out / "rds.json").exists, "the first rendering")
        wait_for(lambda: "wrote" in (tmp_path / "said").read_text(), "the first report")
        write_tree(policies, org="org: [a]\n")
        wait_for(lambda: "refused" in (tmp_path / "said").read_text(), "the refusal")
        assert "org.yaml:1:6: 'org' must be text, not a list" in (tmp_path / "said").read_text()
        assert "other" not in (out / "rds.json").read_text()
        write_tree(policies, providers=TREE["providers.yaml"] + SECOND_PROVIDER)
        wait_for(lambda: "provider.other" in (out / "rds.json").read_text(), "the second provider")
        process.send_signal(name)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "said").read_text()


@pytest.mark.parametrize("words", ["up --port 65536", "simulate --port -1", "render --what x"])
def test_an_option_that_cannot_be_is_named_with_status_2(tmp_path: Path, words: str) -> None:
    shown = tollhouse(*words.split(), cwd=tmp_path)
    assert words.split()[1] in shown.stderr
    assert (shown.returncode, shown.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


# The local extra

_WITHOUT = """
import sys
missing = sys.argv.pop(1)
class Nowhere:
    def find_spec(name, *_):
        if name == missing:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Nowhere)
from tollhouse.cli import main
main()
"""


@pytest.mark.parametrize(("command", "package"), [("up", "httpx"), ("simulate", "starlette")])
def test_a_command_that_needs_the_local_extra_names_it(command: str, package: str) -> None:
    words = [sys.executable, "-c", _WITHOUT, package, command]
    shown = run(words)
    missing = f"error: {package} is not installed: pip install 'tollhouse[local]'\n"
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", missing)


@pytest.mark.parametrize("words", [["check", "policies"], ["keys", "new", KEY_ID]])
def test_other_commands_do_without_the_local_extra(tmp_path: Path, words: list[str]) -> None:
    write_tree(tmp_path / "policies")
    program = [sys.executable, "-c", _WITHOUT, "httpx", *words]
    shown = run(program, tmp_path)
    assert shown.returncode == 0, shown.stderr
