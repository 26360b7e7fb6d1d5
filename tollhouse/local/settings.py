"""What `tollhouse up` is told, and the files it keeps in its run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class UpSettings:
    """`port` 0 picks a free one. `record`: the simulator keeps what it receives, for tests.
    `simulate`: the providers that it plays though their secret is there, or "all"."""

    policies: Path
    port: int
    run_dir: Path
    redis_url: str | None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    record: bool = False
    concurrency: int = 2
    simulate: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunDir:
    """One gateway's files; two gateways need two of these."""

    root: Path

    @property
    def up_json(self) -> Path:
        return self.root / "up.json"

    @property
    def access_log(self) -> Path:
        return self.root / "access.json"

    @property
    def envoy(self) -> Path:
        return self.root / "envoy"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def ratelimit_state(self) -> Path:
        return self.root / "ratelimit"

    @property
    def console_state(self) -> Path:
        return self.root / "console"

    def ready_file(self, name: str) -> Path:
        return self.root / f"{name}.ready.json"

    @property
    def simulator_key(self) -> Path:
        return self.root / "simulator.key"

    @property
    def simulator_keys(self) -> Path:
        return self.root / "simulator-keys"

    @property
    def envoy_admin(self) -> Path:
        return self.root / "envoy-admin-address"
