"""The gRPC method that Envoy's ext_authz filter calls."""

from __future__ import annotations

import time
from collections.abc import Callable

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from authz_service.decision import decide, known
from authz_service.metrics import Metrics
from authz_service.transport import Answers, call_from, passed
from authz_service.verdicts import Call, Decision, Granted, Listed, Refused
from tollhouse.decisions import ALLOWED
from tollhouse.policy.compiled import Snapshot
from tollhouse.rpc.server import Server

_PASSED = passed()
_CHECK = "/envoy.service.auth.v3.Authorization/Check"


class AuthzService:
    """Holds one snapshot with the answers made from it; both are replaced as one reference."""

    def __init__(
        self, snapshot: Snapshot, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._state = (snapshot, Answers(snapshot))
        self._metrics = metrics
        self._clock = clock

    def adopt(self, snapshot: Snapshot) -> None:
        """From the next call on, decide by this snapshot."""
        self._state = (snapshot, Answers(snapshot))

    def check(self, message: bytes) -> bytes:
        """One decision: a CheckResponse for a CheckRequest, both serialized."""
        started = time.perf_counter()
        snapshot, answers = self._state
        call = call_from(CheckRequest.FromString(message))
        decision = _decided(snapshot, call, self._clock())
        if decision is None:
            return _PASSED
        answer = answers.serialize(decision)
        self._count(decision)
        self._metrics.seconds.observe(time.perf_counter() - started)
        return answer

    def register(self, server: Server) -> None:
        server.unary(_CHECK, self.check)

    def _count(self, decision: Decision) -> None:
        code = decision.code if isinstance(decision, Refused) else ALLOWED
        team = decision.key.team if decision.key else ""
        self._metrics.decisions[code, team, _alias(decision)].inc()
        if isinstance(decision, Granted) and decision.key.would_deny(decision.alias.name):
            self._metrics.would_deny[team, decision.alias.name].inc()


def _decided(snapshot: Snapshot, call: Call, now: float) -> Decision | None:
    """None where there is nothing to decide yet: the key is known, its body may be read."""
    if not call.is_known_only:
        return decide(snapshot, call, now)
    found = known(snapshot, call)
    return found if isinstance(found, Refused) else None


def _alias(decision: Decision) -> str:
    if isinstance(decision, Granted):
        return decision.alias.name
    return "" if isinstance(decision, Listed) else decision.alias or ""
