"""`tollhouse test`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from authz_service.policy_tests.reading import read_tests, test_files
from authz_service.policy_tests.running import Failure, Outcome, run_tests
from tollhouse.policy.opened import OpenedPolicy


def run_policy_tests(
    policy: OpenedPolicy, directory: Path, given: list[Path], form: str, out: Console
) -> bool:
    """Whether all tests passed. Raises InputProblem, PolicyError."""
    now = datetime.now(UTC).timestamp()
    tests = read_tests(policy, test_files(directory, given), now)
    outcomes = run_tests(policy, tests)
    writers = {"json": _as_json, "github": _as_github, "text": _as_text}
    out.print("\n".join(writers[form](outcomes)), markup=False)
    return not any(outcome.failures for outcome in outcomes)


def _as_text(outcomes: list[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.failures:
            yield f"FAILED {outcome.test.file}:{outcome.test.line} {outcome.test.test.name}"
        for failure in outcome.failures:
            yield f"  {outcome.test.file}:{failure.line}: {failure.text}"
            yield from (f"    {text}" for text in (failure.decision, failure.rule) if text)
    yield _summary(outcomes)


def _as_github(outcomes: list[Outcome]) -> Iterator[str]:
    """Workflow commands, which GitHub shows beside the lines of a pull request."""
    for outcome in outcomes:
        for failure in outcome.failures:
            place = f"file={_property(outcome.test.file)},line={failure.line}"
            title = f"title={_property(outcome.test.test.name)}"
            yield f"::error {place},{title}::{_message(failure)}"
    yield _summary(outcomes)


def _as_json(outcomes: list[Outcome]) -> Iterator[str]:
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    tests = [_data(outcome) for outcome in outcomes]
    summary = {"passed": len(outcomes) - failed, "failed": failed, "tests": tests}
    yield json.dumps(summary, indent=2, ensure_ascii=False)


def _data(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.test.test.name,
        "file": outcome.test.file,
        "line": outcome.test.line,
        "passed": not outcome.failures,
        "failures": [
            {"line": one.line, "text": one.text, "decision": one.decision, "rule": one.rule}
            for one in outcome.failures
        ],
    }


def _summary(outcomes: list[Outcome]) -> str:
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    return f"{len(outcomes) - failed} passed, {failed} failed"


def _message(failure: Failure) -> str:
    parts = (failure.text, failure.decision, failure.rule)
    return _escaped("\n".join(part for part in parts if part))


# As GitHub's toolkit does: actions/toolkit, packages/core/src/command.ts.
def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
