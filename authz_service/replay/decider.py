"""A policy's decisions on questions from a log, each made once. Pure."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from authz_service.asked import asked
from authz_service.decision import decide_for, decide_with
from authz_service.replay.line import NO_MODEL, Question
from authz_service.verdicts import Decision, Refused
from tollhouse.decisions import ALLOWED
from tollhouse.policy.compiled import Key, Snapshot


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is `NO_MODEL` where it would hang on the model, which the log does not name.

    `would_deny` is the shadow rule that would refuse the call, in words.
    """

    code: str
    reason: str = ""
    would_deny: str | None = None
    is_unknown_key: bool = False


class Decider:
    """Decides by one policy; remembers what it decided for as long as time does not change it."""

    def __init__(self, snapshot: Snapshot, most_remembered: int = 65_536) -> None:
        self._snapshot = snapshot
        # Paths are the callers' own words: there is no end of them.
        self._most = most_remembered
        self._remembered: dict[tuple[Question, int], Verdict] = {}
        self._moments = {key_id: _moments(key) for key_id, key in snapshot.keys.items()}

    def decide(self, question: Question, time: str) -> Verdict:
        """The decision at a time as it is logged. Raises ValueError for what is none."""
        moments = self._moments.get(question.key_id)
        interval = bisect_right(moments, _seconds(time)) if moments else 0
        found = self._remembered.get((question, interval))
        if found is None:
            if len(self._remembered) >= self._most:
                self._remembered.clear()
            found = self._decide(question, _seconds(time))
            self._remembered[question, interval] = found
        return found

    def _decide(self, question: Question, now: float) -> Verdict:
        key = self._snapshot.keys.get(question.key_id)
        if key is None:
            reason = "the policy has no key of this id"
            return Verdict("invalid_api_key", reason, is_unknown_key=True)
        call = asked(question.path, question.alias, question.method)
        if not question.is_previous:
            return self._verdict(key, question, decide_for(self._snapshot, key, call, now))
        if not key.previous:
            reason = "the policy takes none of the keys that this one replaced"
            return Verdict("invalid_api_key", reason)
        # The log does not say which of them it was: the one that is good for longest.
        sha256 = max(key.previous, key=lambda each: key.previous[each])
        return self._verdict(key, question, decide_with(self._snapshot, key, sha256, call, now))

    def _verdict(self, key: Key, question: Question, decision: Decision) -> Verdict:
        if isinstance(decision, Refused):
            # authz_service's word for a body that was not read: here, for a model not logged.
            code = NO_MODEL if decision.code == "internal_error" else decision.code
            return Verdict(code, decision.message)
        rule = key.would_deny(question.alias) if question.alias else None
        return Verdict(ALLOWED, would_deny=rule.where if rule else None)


def _moments(key: Key) -> list[float]:
    """When the decision on a key can change by itself."""
    ends = [*key.previous.values(), *([key.expires_at] if key.expires_at is not None else [])]
    return sorted(ends)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
