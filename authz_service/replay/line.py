"""What one line of the access log says of the policy's decision. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from authz_service.decision import REPLACED
from tollhouse.decisions import ALLOWED

POLICY_CODES = frozenset(
    {
        "key_expired",
        "key_blocked",
        "model_not_allowed",
        "model_not_found",
        "endpoint_not_allowed",
        "unknown_endpoint",
    }
)
"""Refusals by the policy alone, of a key that is known."""


class MalformedLine(Exception):
    """The line is not one that Envoy wrote."""


class Question(NamedTuple):
    """What was asked. `alias` is None where the log names none; `is_previous`: with a key that the
    key replaced."""

    key_id: str
    alias: str | None
    method: str
    path: str
    is_previous: bool


class Logged(NamedTuple):
    """One call of a known key. `code` is the policy's decision then; `time` as it is logged."""

    question: Question
    team: str
    code: str
    time: str
    request_id: str


NO_KEY, BODY, NO_DECISION, NO_MODEL = "no_key", "body", "no_decision", "no_model"
"""Why a line cannot be compared: no known key; refused for its body; no answer was made; refused
before its model was read."""


class _Fields(TypedDict, total=False):
    """What is read of a line. Much of a line is never made into objects, which is twice as fast."""

    time: str
    request_id: str
    method: str
    path: str
    key_id: str
    team: str
    alias: str
    provider: str
    credential: str
    decision: str
    reason: str


_READ = TypeAdapter(_Fields).validator.validate_json


def read_line(text: bytes) -> Logged | str:
    """The call, or why it cannot be compared.

    Raises:
        MalformedLine: it is none of an access log.
    """
    try:
        fields: _Fields = _READ(text)
        if "key_id" not in fields:
            return NO_KEY if "time" in fields else _malformed()
        code = _code(fields)
        if code not in POLICY_CODES and code != ALLOWED:
            return code
        return Logged(_question(fields, code), fields["team"], code, *_when(fields))
    # Pydantic's ValidationError is a ValueError.
    except (ValueError, KeyError):
        raise MalformedLine from None


def _question(fields: _Fields, code: str) -> Question:
    was_replaced = code == "key_expired" and REPLACED in fields["reason"]
    return Question(
        fields["key_id"],
        fields.get("alias"),
        fields["method"],
        fields["path"],
        "credential" in fields or was_replaced,
    )


def _when(fields: _Fields) -> tuple[str, str]:
    return fields["time"], fields["request_id"]


def _code(fields: _Fields) -> str:
    """The policy's decision: what limits, budgets and providers said after it does not count."""
    if "provider" in fields:
        return ALLOWED
    decision = fields.get("decision")
    if decision is None:
        return NO_DECISION
    return decision if decision in POLICY_CODES or decision == ALLOWED else BODY


def _malformed() -> str:
    raise MalformedLine
