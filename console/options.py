"""The command line of the console."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from tollhouse.serving.options import Options


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """`listen` is `unix:/path` or `host:port` (then the TLS files, PEM, are required).

    `access_log` are patterns of the gateway's access logs, which may be none. `services` are the
    side doors (http://host:port) of services whose policy a write waits for.
    """

    policies: Path
    listen: str
    metrics: str
    ready_file: Path | None
    demo_keys: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    log_level: str
    redis_url: str
    state_dir: Path
    access_log: list[str]
    services: list[str]
    git_commit: bool

    @property
    def shared(self) -> Options:
        """What the services' hosting knows."""
        names = Options.__dataclass_fields__.keys() & self.__dataclass_fields__.keys()
        return Options(**{name: getattr(self, name) for name in names})


def parse(arguments: list[str] | None = None) -> ConsoleOptions:
    """Of the command line; exits with a message where it is wrong."""
    found = parser().parse_args(arguments)
    return ConsoleOptions(**vars(found))


def parser() -> argparse.ArgumentParser:
    """What the console may be told."""
    made = argparse.ArgumentParser(
        prog="console",
        description="Management API and pages, behind Envoy at /manage.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = made.add_argument
    add("--policies", type=Path, default=Path("policies"), help="the policy tree, read and edited")
    add("--listen", required=True, help="unix:/path/to.sock, or host:port (then mutual TLS)")
    add("--state-dir", type=Path, required=True, help="the audit log, and policies of before")
    add(
        "--redis-url",
        default=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"),
        # Not shown as a default: an address may have a password in it.
        help="the ledger's; else the environment's REDIS_URL",
    )
    add(
        "--access-log",
        action="append",
        default=[],
        help="the gateway's access log, where it can be read here; a pattern; repeatable",
    )
    add(
        "--service",
        dest="services",
        action="append",
        default=[],
        help="http://host:port of a service's --metrics: a write waits until it is in force there"
        "; repeatable",
    )
    add("--git-commit", action="store_true", help="commit each write, where the tree is in git")
    add("--metrics", default="127.0.0.1:0", help="host:port of /metrics, /readyz")
    add("--ready-file", type=Path, help="written as JSON once the console answers")
    add("--demo-keys", action="store_true", help="accept the published demo keys and tokens")
    add("--tls-ca", type=Path, help="CA of the clients (Envoy) that may call")
    add("--tls-cert", type=Path, help="this service's certificate chain")
    add("--tls-key", type=Path, help="its private key")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return made
