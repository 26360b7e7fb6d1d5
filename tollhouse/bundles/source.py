"""The policy of a replica: the newest bundle in Redis, else the last good one on its disk."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from tollhouse.bundles.cache import BundleCache
from tollhouse.bundles.errors import BundleRefused, StoreUnavailable
from tollhouse.bundles.sealed import Bundle, unseal
from tollhouse.bundles.signing import PublicKey
from tollhouse.bundles.store import BundleStore
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError, PolicyProblem

log = logging.getLogger("tollhouse.policy")

T = TypeVar("T")

POLL_SECONDS = 0.5
READ_SECONDS = 0.5
"""Bounds each step of a call to Redis."""


class PolicyBundles:
    """A `PolicySource`. A bundle older than the one in force, or in the cache, is never taken.

    `up` says whether Redis answered the last question, `last_contact` (epoch seconds, 0 before the
    first) when it last did, `is_cached` whether the bundle in force is the one on disk.
    """

    def __init__(
        self,
        store: BundleStore,
        cache: BundleCache,
        keys: Sequence[PublicKey],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._cache = cache
        self._keys = keys
        self._clock = clock
        self._bundle: Bundle | None = None
        self._told: int | None = None
        # A reading that has to be repeated makes the fingerprint another one, once Redis answers.
        self._must_repeat = False
        self._repeated = 0
        self._cache_failed = False
        self.up = False
        self.last_contact = 0.0
        self.is_cached = False

    @property
    def serial(self) -> int:
        """Of the bundle in force; 0 before there is one."""
        return self._bundle.serial if self._bundle else 0

    def fingerprint(self) -> object:
        """The serial that Redis says is in force; the last one it said, while it is away."""
        if self._bundle and not self.is_cached:
            self._keep(self._bundle)
        with suppress(StoreUnavailable):
            self._told = self._ask(self._store.serial)
            self._repeated += self._must_repeat
            self._must_repeat = False
        return (self._told, self._repeated)

    def load(self) -> Snapshot:
        """The newest bundle's; the one in force while Redis is away. Raises PolicyError: the newest
        must not be put in force, or there is none at all."""
        try:
            self._bundle = self._next(self._bundle) if self._bundle else self._first()
        except BundleRefused as error:
            raise PolicyError([PolicyProblem("policy bundle", 0, 0, str(error))]) from None
        if not self.is_cached:
            self._keep(self._bundle)
        return self._bundle.snapshot

    async def ticks(self, stop: asyncio.Event) -> AsyncIterator[bool]:
        """Twice a second."""
        while not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_SECONDS)
            yield False

    def _first(self) -> Bundle:
        cached = self._cached()
        try:
            bundle = self._newest(cached)
        except (BundleRefused, StoreUnavailable) as error:
            if cached is None:
                raise BundleRefused(f"{error}; and there is no good one in {self._cache}") from None
            fields = {"serial": cached.serial, "reason": str(error)}
            log.warning("starting from the policy on disk", extra={"fields": fields})
            # Then what is wrong is told as of any later bundle.
            self._must_repeat = True
            bundle = cached
        self.is_cached = bundle is cached
        return bundle

    def _next(self, held: Bundle) -> Bundle:
        try:
            bundle = self._newest(held)
        except StoreUnavailable:
            self._must_repeat = True
            return held
        self.is_cached = self.is_cached and bundle is held
        return bundle

    def _cached(self) -> Bundle | None:
        try:
            sealed = self._cache.read()
            return unseal(sealed, self._keys) if sealed is not None else None
        except OSError as error:
            reason = error.strerror
        except BundleRefused as error:
            reason = str(error)
        fields = {"file": str(self._cache), "reason": reason}
        log.error("the policy on disk cannot be used", extra={"fields": fields})
        return None

    def _newest(self, held: Bundle | None) -> Bundle:
        """Raises StoreUnavailable; BundleRefused unless the newest may replace `held`."""
        serial, sealed = self._ask(self._store.newest)
        if sealed is None:
            raise BundleRefused("Redis holds none: publish one (tollhouse policy publish)")
        if held and sealed == held.sealed:
            return held
        try:
            bundle = unseal(sealed, self._keys)
        except BundleRefused as error:
            raise BundleRefused(f"{serial} in Redis is refused: {error}") from None
        if bundle.serial != serial:
            raise BundleRefused(f"{serial} in Redis is refused: it is signed as {bundle.serial}")
        if held and serial <= held.serial:
            raise BundleRefused(
                f"{serial} in Redis is refused: it is not newer than {held.serial}, which is held "
                "here. If Redis lost that one, publish again (tollhouse policy publish)"
            )
        return bundle

    def _keep(self, bundle: Bundle) -> None:
        """On disk. If that fails the bundle is in force all the same, and it is tried again."""
        try:
            self._cache.write(bundle.sealed)
            self.is_cached, self._cache_failed = True, False
        except OSError as error:
            if not self._cache_failed:
                fields = {"file": str(self._cache), "reason": error.strerror}
                log.error("the policy in force cannot be kept on disk", extra={"fields": fields})
            self._cache_failed = True

    def _ask(self, question: Callable[[], T]) -> T:
        try:
            answer = question()
        except StoreUnavailable as error:
            if self.up:
                reason = {"fields": {"reason": str(error)}}
                log.warning("no news of the policy, it stays in force", extra=reason)
            self.up = False
            raise
        if self._bundle and not self.up:
            log.info("there is news of the policy again")
        self.up, self.last_contact = True, self._clock()
        return answer
