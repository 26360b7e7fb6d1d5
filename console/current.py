"""The policy in force, with the files that it was compiled from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from console.edits.policy import Policy
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.policy import PolicyMetrics

Adopted = Callable[[Policy | None, Policy], None]


class _TreeLoader:
    """Loads as `PolicyLoader` does, and keeps the files of what it loaded last."""

    def __init__(self, *, allow_demo_keys: bool) -> None:
        self._loader = PolicyLoader(allow_demo_keys=allow_demo_keys)
        self.last: Policy | None = None

    def load(self, directory: Path) -> Snapshot:
        self.last = Policy(*self._loader.read(directory))
        return self.last.snapshot


class CurrentPolicy:
    """Follows a directory; `adopted` is told of each version that comes into force, with the one
    before it, and `metrics` of each reading.

    Raises PolicyError when there is no good policy to start from.
    """

    def __init__(
        self, directory: Path, adopted: Adopted, metrics: PolicyMetrics, *, allow_demo_keys: bool
    ) -> None:
        self._loader = _TreeLoader(allow_demo_keys=allow_demo_keys)
        source = PolicyDirectory(directory, loader=self._loader)
        self.holder = PolicyHolder(source)
        assert self._loader.last is not None  # noqa: S101 - PolicyHolder has loaded
        self._policy = self._loader.last
        self._adopted, self._metrics = adopted, metrics
        self.problems: tuple[str, ...] = ()
        metrics.loaded(self._policy.snapshot)
        adopted(None, self._policy)

    @property
    def policy(self) -> Policy:
        """The one in force here."""
        return self._policy

    def loaded(self, snapshot: Snapshot) -> None:
        """Of `watch`: the directory says something new, or again what it said before a mistake."""
        self._metrics.loaded(snapshot)
        last = self._loader.last
        if last is not None and last.snapshot is snapshot:
            self._take(last)

    def refused(self, error: PolicyError) -> None:
        """Of `watch`: what the directory says cannot be taken."""
        self._metrics.failed(error)
        self.problems = tuple(map(str, error.problems))

    def _take(self, policy: Policy) -> None:
        before, self._policy, self.problems = self._policy, policy, ()
        if policy.snapshot.version != before.snapshot.version:
            self._adopted(before, policy)
