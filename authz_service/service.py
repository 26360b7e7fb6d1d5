"""The gRPC method that Envoy's ext_authz filter calls."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from authz_service.decision import decide, known
from authz_service.metrics import Metrics
from authz_service.transport import Answers, call_from, passed
from authz_service.verdicts import Call, Decision, Granted, Listed, Refused
from tollhouse.decisions import ALLOWED
from tollhouse.policy.compiled import Snapshot

_PASSED = passed()
_SERVICE = "envoy.service.auth.v3.Authorization"


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

    async def check(self, request: CheckRequest, _context: object) -> bytes:
        """One decision; the answer is already serialized."""
        started = time.perf_counter()
        snapshot, answers = self._state
        decision = _decided(snapshot, call_from(request), self._clock())
        if decision is None:
            return _PASSED
        answer = answers.serialize(decision)
        self._count(decision)
        self._metrics.seconds.observe(time.perf_counter() - started)
        return answer

    def register(self, server: grpc.aio.Server) -> None:
        # By hand rather than by the generated servicer: its serializer would take a message, and
        # ours are bytes already.
        handler = grpc.unary_unary_rpc_method_handler(
            self.check, request_deserializer=CheckRequest.FromString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(_SERVICE, {"Check": handler})]
        )

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
