"""What one simulated provider is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to listen and what to accept.

    `keys` are the provider keys that callers must show, and are kept out of `repr`. `port` 0 takes
    a free port. `models` None accepts every model name. `record` keeps requests, bodies and keys
    included, for the control API.

    Raises:
        ValueError: no key, or a base path that is not "" or "/…" without a slash at its end.
    """

    keys: tuple[str, ...] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    base_path: str = "/v1"
    models: tuple[str, ...] | None = None
    ready_file: Path | None = None
    record: bool = False

    def __post_init__(self) -> None:
        if not self.keys or not all(self.keys):
            raise ValueError("give at least one provider key, and none that is empty")
        if self.base_path and (self.base_path[0] != "/" or self.base_path[-1] == "/"):
            raise ValueError(f"base path {self.base_path!r}: write it like /v1, or leave it empty")


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys in a file, one a line; blank lines and space around a key do not count.

    Raises:
        OSError: the file cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(key for line in lines if (key := line.strip()))
