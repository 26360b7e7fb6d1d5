"""The command line that both services share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """`listen` is `unix:/path` or `host:port`; TLS files are PEM, all three or none."""

    policies: Path
    listen: str
    metrics: str
    ready_file: Path | None
    demo_keys: bool
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    log_level: str


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(
        prog=prog, description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parse.add_argument
    add("--policies", type=Path, default=Path("policies"), help="the policy tree, watched")
    add("--listen", required=True, help="unix:/path/to.sock, or host:port (then mutual TLS)")
    add("--metrics", default="127.0.0.1:0", help="host:port of /metrics, /readyz")
    add("--ready-file", type=Path, help="written as JSON once the service answers")
    add(
        "--demo-keys",
        action="store_true",
        help="accept the published demo keys",
    )
    add("--tls-ca", type=Path, help="CA of the clients (Envoy) that may call")
    add("--tls-cert", type=Path, help="this service's certificate chain")
    add("--tls-key", type=Path, help="its private key")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parse


def common(arguments: argparse.Namespace) -> Options:
    names = Options.__dataclass_fields__
    return Options(**{name: getattr(arguments, name) for name in names})
