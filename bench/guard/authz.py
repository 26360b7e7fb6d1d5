"""authz_service from a CheckRequest's bytes to the answer's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from prometheus_client import CollectorRegistry

from authz_service.metrics import Metrics
from authz_service.service import AuthzService
from bench import big_policy
from bench.guard import recorded
from bench.guard.references import PYTHON
from bench.guard.work import Work, repeated
from tollhouse import contract, keys
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rpc.calls import Unary

_KEYS_PER_TEAM = 200
_FEW, _MANY = 10, 10_000
# One that every key of the large policy may call.
_ALIAS = big_policy.alias(1)


def works(folder: Path) -> list[Work]:
    """`folder` is for policies."""
    few, many = _service(folder, _FEW), _service(folder, _MANY)
    known = _questions(_FEW)
    first = iter(_questions(_MANY))
    stranger = _question(keys.with_checksum("guard".ljust(32, "0")))
    return [
        _work("a grant, of 10 keys", few, cycle(known)),
        _work("a grant, of 10,000 keys", many, cycle(known)),
        # Each of another key: none is answered from what was written before.
        _work("a first grant", many, first),
        _work("an unknown key", few, cycle([stranger])),
        _work("no key", few, cycle([_question("")])),
        _work("a model that is not there", few, cycle([_question(_key(0), "no-such-model")])),
    ]


def _work(what: str, handler: Unary, questions: Iterator[bytes]) -> Work:
    return Work(f"authz: {what}", PYTHON, 50, repeated(lambda: handler(next(questions))))


def _service(folder: Path, count: int) -> Unary:
    teams, per_team = max(1, count // _KEYS_PER_TEAM), min(count, _KEYS_PER_TEAM)
    snapshot = load_snapshot(big_policy.write(folder / str(count), teams, per_team))
    return AuthzService(snapshot, Metrics(CollectorRegistry())).check


def _key(number: int) -> str:
    return big_policy.secret(*divmod(number, _KEYS_PER_TEAM))


def _questions(count: int) -> list[bytes]:
    return [_question(_key(number)) for number in range(min(count, 1_000))]


def _question(key: str, alias: str = _ALIAS) -> bytes:
    request = recorded.check()
    headers = request.attributes.request.http.headers
    headers["authorization"] = headers["authorization"].replace("KEY", key)
    if not key:
        del headers["authorization"]
    metadata = request.attributes.metadata_context.filter_metadata[contract.REQUEST]
    metadata.update({"model": alias})
    return bytes(request.SerializeToString())
