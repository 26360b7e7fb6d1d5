"""Where a policy comes from, as options say: a directory, or bundles in Redis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from tollhouse.policy.source import PolicyDirectory, PolicySource


class SourceError(Exception):
    """The options do not name a policy; the message says what to give."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """`kind` is "directory" or "redis"; the others as the command line explains them."""

    kind: str = "directory"
    directory: Path = Path("policies")
    demo_keys: bool = False
    redis_url: str | None = None
    public_keys: list[Path] = field(default_factory=list)
    cache: Path | None = None


def open_source(options: SourceOptions, registry: CollectorRegistry | None = None) -> PolicySource:
    """Opens no connection yet. With bundles, their metrics go into `registry`.

    Raises SourceError.
    """
    if options.kind == "directory":
        return PolicyDirectory(options.directory, allow_demo_keys=options.demo_keys)
    # Who reads a directory needs no Redis client in memory.
    from tollhouse.serving.bundles import open_bundles  # noqa: PLC0415

    return open_bundles(options, registry)
