"""The policy as the files say now, for use cases that only read."""

from __future__ import annotations

import threading
from pathlib import Path

from console.edits.policy import Policy
from console.edits.refusals import policy_withheld
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicyDirectory


class PolicyReader:
    """Reads a directory again when a file of it changed; for any thread.

    While somebody has left a mistake in it the policy before holds, as it does for the gateway.
    """

    def __init__(self, directory: Path, *, allow_demo_keys: bool = False) -> None:
        self._directory = directory
        self._watched = PolicyDirectory(directory)
        self._loader = PolicyLoader(allow_demo_keys=allow_demo_keys)
        self._turn = threading.Lock()
        self._seen: object = None
        self._policy: Policy | None = None
        self._in_force: Policy | None = None
        self._is_wrong = False

    def now(self) -> Policy:
        """Raises ManageError `policy_invalid` where there has been no good policy yet."""
        with self._turn:
            seen = self._watched.fingerprint()
            if self._policy is None or seen != self._seen:
                self._read()
                self._seen = seen
            assert self._policy is not None  # noqa: S101 - read, or raised
            return self._in_force if self._is_wrong and self._in_force else self._policy

    def note(self, policy: Policy) -> None:
        """What is in force, as whoever follows the directory has found: it is answered with while
        there is a mistake in the files."""
        with self._turn:
            self._in_force = policy

    def _read(self) -> None:
        try:
            self._policy = Policy(*self._loader.read(self._directory))
            self._is_wrong = False
        except PolicyError as error:
            self._is_wrong = True
            if self._policy is None:
                raise policy_withheld() from error  # whoever it is that asks
