"""Runs tests against a policy by the service's own decision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from authz_service.asked import asked, own_path
from authz_service.decision import decide_for
from authz_service.explain.rules import decisive, steps
from authz_service.policy_tests.reading import ReadTest
from authz_service.verdicts import Refused
from tollhouse.decisions import ALLOWED
from tollhouse.policy.compiled import Alias, Key, Limits
from tollhouse.policy.limit_words import stated
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.opened import OpenedPolicy


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that a test says and the policy does not. `rule`: what made it so, by file:line;
    `decision`: the answer's message."""

    line: int
    text: str
    decision: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test that was run; without failures it passed."""

    test: ReadTest
    failures: tuple[Failure, ...] = field(default=())


def run_tests(policy: OpenedPolicy, tests: list[ReadTest]) -> list[Outcome]:
    """Every test, in order."""
    return [Outcome(test, tuple(_failures(policy, test))) for test in tests]


def _failures(policy: OpenedPolicy, test: ReadTest) -> Iterator[Failure]:
    for key in test.keys:
        asking = _Asking(policy, test, key)
        for entry in test.may:
            for alias in entry.aliases:
                yield from asking.may(alias, entry.line)
        for entry in test.may_not:
            for alias in entry.aliases:
                yield from asking.may_not(alias, entry.line, entry.code)
        if test.only is not None:
            yield from asking.only({each.name for one in test.only for each in one.aliases})
        yield from _limits(policy, test, key)


class _Asking:
    """What one test asks about one key."""

    def __init__(self, policy: OpenedPolicy, test: ReadTest, key: Key) -> None:
        self._policy = policy
        self._test = test
        self._key = key

    def may(self, alias: Alias, line: int) -> Iterator[Failure]:
        """That the alias may be called."""
        if refused := self._refused(alias):
            text = f"{self._key.id} may not call {alias.name}, and should"
            yield Failure(line, text, _told(refused), self._rule(alias, refused.code))

    def may_not(self, alias: Alias, line: int, code: str) -> Iterator[Failure]:
        """That the alias is refused, with this code if one is wanted."""
        refused = self._refused(alias)
        if refused is None:
            text = f"{self._key.id} may call {alias.name}, and should not"
            yield Failure(line, text, rule=self._rule(alias, ALLOWED))
        elif code and refused.code != code:
            text = f"{self._key.id} is refused {alias.name} with {refused.code}, not {code}"
            yield Failure(line, text, _told(refused), self._rule(alias, refused.code))

    def only(self, wanted: set[str]) -> Iterator[Failure]:
        """That these may be called and no others."""
        line = self._test.line_of("only")
        for name, alias in sorted(self._policy.snapshot.aliases.items()):
            yield from self.may(alias, line) if name in wanted else self.may_not(alias, line, "")

    def _refused(self, alias: Alias) -> Refused | None:
        call = asked(self._test.test.path or own_path(alias), alias.name)
        decision = decide_for(self._policy.snapshot, self._key, call, self._test.now)
        return decision if isinstance(decision, Refused) else None

    def _rule(self, alias: Alias, code: str) -> str:
        step = decisive(steps(self._policy, self._key, alias.name), code)
        return f"{step.words} ({step.at})" if step else ""


def _told(refused: Refused) -> str:
    return f"{refused.code}: {refused.message}"


def _limits(policy: OpenedPolicy, test: ReadTest, key: Key) -> Iterator[Failure]:
    for level, file in test.test.limits.items():
        found = {each.field: each for each in stated(_limits_at(policy, key, level))}
        for wanted in stated(compile_limits(file)):
            has = found.get(wanted.field)
            if has != wanted:
                said = f"{has.words}" if has else f"no {wanted.field}"
                text = f"the {level} of {key.id} has {said}, not {wanted.words}"
                yield Failure(test.line_of("limits", level, wanted.field), text)


def _limits_at(policy: OpenedPolicy, key: Key, level: str) -> Limits:
    team = policy.snapshot.teams[key.team]
    levels = {
        "key": key.limits,
        "project": team.projects[key.project].limits,
        "team": team.limits,
        "org": policy.snapshot.org.limits,
    }
    return levels[level]
