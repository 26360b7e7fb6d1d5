"""The command line that both services share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from tollhouse.serving.source import SourceOptions


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
    policy: str = "directory"
    policy_redis_url: str | None = None
    policy_public_key: list[Path] = field(default_factory=list)
    policy_cache: Path | None = None

    @property
    def source(self) -> SourceOptions:
        """Where the policy comes from."""
        return SourceOptions(
            self.policy,
            self.policies,
            self.demo_keys,
            self.policy_redis_url,
            self.policy_public_key,
            self.policy_cache,
        )


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
    add(
        "--policy",
        choices=["directory", "redis"],
        default="directory",
        help="take it from --policies, or follow the bundles of tollhouse policy publish",
    )
    # Not shown as a default: an address may have a password in it.
    add("--policy-redis-url", help="where the bundles are; else the environment's REDIS_URL")
    add(
        "--policy-public-key",
        type=Path,
        action="append",
        default=[],
        help="what verifies bundles, of tollhouse policy keygen; repeatable",
    )
    add("--policy-cache", type=Path, help="the last good bundle is kept here; a file a process")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    return parse


def common(arguments: argparse.Namespace) -> Options:
    names = Options.__dataclass_fields__
    return Options(**{name: getattr(arguments, name) for name in names})
