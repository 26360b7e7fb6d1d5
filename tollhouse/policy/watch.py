"""Keeps the policy in force current while its source changes."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError, UnsettledError
from tollhouse.policy.source import PolicySource

# Longer than a call can be on its way between the two services, which reload one after the other.
KEEP_PREVIOUS_SECONDS = 5.0
_NOT_READ = object()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a reading of the source found: the snapshot in force, and why it is not the source's.

    `error` is None while it is; `read` then is None, so that equal policies are equal findings.
    """

    snapshot: Snapshot
    error: PolicyError | None = None
    read: object = None

    def says_the_same(self, other: "Finding") -> bool:
        """Whether there is nothing in it that `other` has not told."""
        return self._told() == other._told()

    def _told(self) -> tuple[object, ...]:
        problems = self.error.problems if self.error else None
        # Not by version: it is that of the files, and prices from the public list may change alone.
        return (self.snapshot, problems, self.read)


class PolicyHolder:
    """The snapshot in force, replaced as one reference, so that readers need no lock.

    Raises:
        PolicyError: there is no good policy to begin with.
    """

    def __init__(self, source: PolicySource, clock: Callable[[], float] = time.monotonic) -> None:
        self.source = source
        self._clock = clock
        self._reading = threading.Lock()
        # Taken before the policy is read: an edit in between then shows as a difference.
        self._fingerprint = source.fingerprint()
        self._finding = Finding(source.load())
        self._previous: tuple[Snapshot, float] | None = None

    @property
    def current(self) -> Snapshot:
        """The last good snapshot."""
        return self._finding.snapshot

    @property
    def finding(self) -> Finding:
        """What the last reading found; the same object until one finds something else."""
        return self._finding

    def of_version(self, version: str) -> Snapshot | None:
        """The snapshot in force if it is of this version, or the one before it, for a while."""
        if self.current.version == version:
            return self.current
        previous = self._previous
        return previous[0] if previous and previous[0].version == version else None

    def is_stale(self) -> bool:
        """Whether the source has changed since it was last read, good or bad."""
        return self.source.fingerprint() != self._fingerprint

    def reload(self) -> None:
        """Read the source again, from any thread; a bad policy leaves the last good one."""
        with self._reading:
            self._reload()

    def refresh(self) -> None:
        """As `reload`, if there is anything new to read; waits for a reading that is going on."""
        with self._reading:
            if self.is_stale():
                self._reload()

    def forget(self) -> None:
        """Lets go of the snapshot before this one once nothing can ask for it any more."""
        previous = self._previous
        if previous and self._clock() - previous[1] > KEEP_PREVIOUS_SECONDS:
            self._previous = None

    def _reload(self) -> None:
        before = self.source.fingerprint()
        try:
            found = Finding(self.source.load())
        except UnsettledError as error:
            # Whatever the source says next, it has not been read.
            before, found = _NOT_READ, Finding(self.current, error)
        except PolicyError as error:
            found = Finding(self.current, error, before)
        self._fingerprint = before
        if found.says_the_same(self._finding):
            return
        if found.snapshot.version != self.current.version:
            self._previous = (self.current, self._clock())
        self._finding = found


async def watch(
    holder: PolicyHolder,
    stop: asyncio.Event,
    *,
    on_success: Callable[[Snapshot], None],
    on_failure: Callable[[PolicyError], None],
) -> None:
    """Reload whenever the source changes, until `stop` is set.

    Each new finding is reported once: `on_success` for a snapshot now in force (also when a bad
    edit was taken back), `on_failure` for a policy that was not taken.
    """
    reported = holder.finding
    async for noticed in holder.source.ticks(stop):
        # A notification is believed even if the fingerprint agrees: two writes within one tick
        # of the kernel's clock share their time stamps.
        if noticed or await asyncio.to_thread(holder.is_stale):
            await asyncio.to_thread(holder.reload)
        holder.forget()
        # Somebody else may have reloaded: what counts is what has not been reported.
        if holder.finding is reported:
            continue
        reported = holder.finding
        if reported.error:
            on_failure(reported.error)
        else:
            on_success(reported.snapshot)
