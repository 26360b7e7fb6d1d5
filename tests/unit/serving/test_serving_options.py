"""tollhouse.serving.options: the command line that both services share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollhouse.serving.options import Options, common, parser
from tollhouse.serving.source import SourceOptions


def read(*arguments: str) -> Options:
    return common(parser("any_service", "any").parse_args(arguments))


def test_only_where_to_listen_must_be_said() -> None:
    assert read("--listen", "unix:/run/authz.sock") == Options(
        policies=Path("policies"),
        listen="unix:/run/authz.sock",
        metrics="127.0.0.1:0",
        ready_file=None,
        demo_keys=False,
        tls_ca=None,
        tls_cert=None,
        tls_key=None,
        log_level="info",
    )


def test_every_option_arrives_under_its_name() -> None:
    chosen = read(
        *("--policies", "/etc/policies", "--listen", "0.0.0.0:9001", "--metrics", "0.0.0.0:9101"),
        *("--ready-file", "/run/ready.json", "--demo-keys", "--log-level", "debug"),
        *("--tls-ca", "/tls/ca.crt", "--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key"),
        *("--policy", "redis", "--policy-redis-url", "redis://bundles", "--policy-cache", "/var/b"),
        *("--policy-public-key", "/keys/old.pub", "--policy-public-key", "/keys/new.pub"),
    )
    assert chosen == Options(
        policies=Path("/etc/policies"),
        listen="0.0.0.0:9001",
        metrics="0.0.0.0:9101",
        ready_file=Path("/run/ready.json"),
        demo_keys=True,
        tls_ca=Path("/tls/ca.crt"),
        tls_cert=Path("/tls/tls.crt"),
        tls_key=Path("/tls/tls.key"),
        log_level="debug",
        policy="redis",
        policy_redis_url="redis://bundles",
        policy_public_key=[Path("/keys/old.pub"), Path("/keys/new.pub")],
        policy_cache=Path("/var/b"),
    )
    assert chosen.source == SourceOptions(
        kind="redis",
        directory=Path("/etc/policies"),
        demo_keys=True,
        redis_url="redis://bundles",
        public_keys=[Path("/keys/old.pub"), Path("/keys/new.pub")],
        cache=Path("/var/b"),
    )


def test_two_command_lines_do_not_share_their_keys() -> None:
    parse = parser("any_service", "any")
    parse.parse_args(["--listen", "unix:/a", "--policy-public-key", "one"])
    assert common(parse.parse_args(["--listen", "unix:/a"])).policy_public_key == []


def test_an_address_with_a_password_is_not_in_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@host")
    with pytest.raises(SystemExit):
        read("--help")
    assert "hidden" not in capsys.readouterr().out


def test_an_option_of_one_service_stays_out_of_what_both_share() -> None:
    parse = parser("any_service", "any")
    parse.add_argument("--redis-url")
    arguments = parse.parse_args(["--listen", "unix:/a", "--redis-url", "redis://host"])
    assert common(arguments) == read("--listen", "unix:/a")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: --listen"),
        (["--listen", "unix:/a", "--log-level", "loud"], "invalid choice: 'loud'"),
        (["--listen", "unix:/a", "--port", "1"], "unrecognized arguments: --port 1"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_says_why(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(*arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err
