"""What `tollhouse check` found, as text, GitHub workflow commands or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.warnings.view import Warned

ERROR_CODE = "invalid"


def text_lines(
    folder: str, errors: Iterable[PolicyProblem], warnings: Iterable[Warned]
) -> Iterator[str]:
    """file:line:column: message; warnings say that they are some, and their code."""
    for error in errors:
        yield f"{path_of(folder, error.file)}:{error.line}:{error.column}: {error.message}"
    for each in warnings:
        at = f"{path_of(folder, each.file)}:{each.line}:{each.column}"
        yield f"{at}: warning: {each.message} [{each.code}]"


def github_lines(
    folder: str, errors: Iterable[PolicyProblem], warnings: Iterable[Warned]
) -> Iterator[str]:
    """Workflow commands, by which GitHub shows each beside the line of a pull request."""
    for error in errors:
        yield _command("error", folder, error, ERROR_CODE)
    for each in warnings:
        yield _command("warning", folder, each, each.code)


def json_text(
    version: str | None,
    folder: str,
    errors: Iterable[PolicyProblem],
    warnings: Iterable[Warned],
) -> str:
    """One object: version (null where there are errors), errors, warnings."""
    listed = {
        "version": version,
        "errors": [_member(folder, error, ERROR_CODE) for error in errors],
        "warnings": [_member(folder, each, each.code) for each in warnings],
    }
    return json.dumps(listed, indent=2, ensure_ascii=False)


def path_of(folder: str, file: str) -> str:
    """A tree that is not there is itself the place."""
    return file if file == folder else f"{folder}/{file}"


def _member(folder: str, each: PolicyProblem | Warned, code: str) -> dict[str, str | int]:
    return {
        "file": path_of(folder, each.file),
        "line": each.line,
        "column": each.column,
        "code": code,
        "message": each.message,
    }


def _command(kind: str, folder: str, each: PolicyProblem | Warned, code: str) -> str:
    file = _property(path_of(folder, each.file))
    at = f"file={file},line={each.line},col={each.column},title={_property(code)}"
    return f"::{kind} {at}::{_data(each.message)}"


# As actions/toolkit escapes them (packages/core/src/command.ts).
def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
