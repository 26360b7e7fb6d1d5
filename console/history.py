"""The policies that were in force, kept on disk so that two of them can be compared.

Where the tree is in Git, that is the better history: this one also has what was never committed.
"""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.tree import PolicyTree

MOST_VERSIONS = 200
MOST_BYTES = 256 << 20
_NAME = re.compile(r"(\d{8}T\d{12}Z)-([0-9a-f]{12})\.json\.gz")


@dataclass(frozen=True, slots=True)
class Kept:
    """A version, and since when (seconds since the epoch) it was in force."""

    version: str
    since: float
    path: Path


class PolicyHistory:
    """In a directory of its own; the oldest are forgotten."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, tree: PolicyTree, now: float) -> None:
        """Note that this is in force from now on. Raises OSError."""
        newest = next(iter(self.kept()), None)
        if newest is not None and newest.version == tree.version:
            return
        # Policies hold hashes of keys: for the console and its group.
        self._directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S%fZ")
        path = self._directory / f"{moment}-{tree.version}.json.gz"
        text = json.dumps(dict(_texts(tree)))
        temporary = path.with_name(f".{path.name}")
        temporary.write_bytes(gzip.compress(text.encode(), mtime=0))
        temporary.replace(path)
        self._forget()

    def kept(self) -> Iterator[Kept]:
        """The newest first."""
        for path in sorted(self._directory.glob("*.json.gz"), reverse=True):
            if found := _NAME.fullmatch(path.name):
                moment = datetime.strptime(found[1], "%Y%m%dT%H%M%S%fZ").replace(tzinfo=UTC)
                yield Kept(found[2], moment.timestamp(), path)

    def snapshot(self, version: str) -> Snapshot | None:
        """As it compiles today; None: it is not kept. Raises PolicyError where today's rules would
        refuse it."""
        texts = self.texts(version)
        if texts is None:
            return None
        with tempfile.TemporaryDirectory(prefix="tollhouse-") as folder:
            for name, text in texts.items():
                path = Path(folder) / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return load_snapshot(Path(folder), allow_demo_keys=True)

    def texts(self, version: str) -> dict[str, str] | None:
        """Its files by name, as they were written; None: it is not kept."""
        found = next((kept for kept in self.kept() if kept.version == version), None)
        if found is None:
            return None
        texts: dict[str, str] = json.loads(gzip.decompress(found.path.read_bytes()))
        return texts

    def _forget(self) -> None:
        bytes_kept = 0
        for index, kept in enumerate(self.kept()):
            bytes_kept += kept.path.stat().st_size
            if index and (index >= MOST_VERSIONS or bytes_kept > MOST_BYTES):
                kept.path.unlink(missing_ok=True)


def _texts(tree: PolicyTree) -> Iterator[tuple[str, str]]:
    single = (tree.org, tree.providers, tree.models, tree.management)
    for source in (*single, *tree.teams, *tree.keys):
        if source is not None and source.document.text:
            yield source.document.file, source.document.text
