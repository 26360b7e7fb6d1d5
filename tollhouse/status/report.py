"""Do the parts of a gateway agree on one policy, and are they ready? Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Part:
    """What one part told. `kind` is disk, authz, ratelimit or envoy; `version` None if unknown.

    `since` is seconds since the epoch. `problem` is the first one: why it is not ready, does not
    answer, or does not go by the files on disk. `refusals`: updates that Envoy refused.
    """

    kind: str
    where: str
    version: str | None = None
    since: float | None = None
    ready: bool = True
    stale: bool = False
    problem: str | None = None
    refusals: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All parts that were asked."""

    parts: tuple[Part, ...]

    @property
    def version(self) -> str | None:
        """The version that all should have: that on disk if it is good, else what most have."""
        on_disk = [part.version for part in self.parts if part.kind == "disk" and part.version]
        if on_disk:
            return on_disk[0]
        counted = Counter(part.version for part in self.parts if part.version)
        return counted.most_common(1)[0][0] if counted else None

    def is_well(self, part: Part) -> bool:
        return part.ready and not part.stale and part.version == self.version

    @property
    def all_well(self) -> bool:
        """Every part is ready and goes by the same policy."""
        return self.version is not None and all(map(self.is_well, self.parts))

    def to_json(self) -> dict[str, Any]:
        parts = [{**asdict(part), "ok": self.is_well(part)} for part in self.parts]
        return {"ok": self.all_well, "version": self.version, "parts": parts}
