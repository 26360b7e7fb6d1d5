"""What can be wrong with a policy, said so that whoever edits it knows where and what to do.

    PolicyError         a policy directory that cannot be used; carries every problem found
      ├ UnsettledError  it cannot be told yet what the policy is: somebody is writing it
      └ PolicyProblem   (not an exception) one of them: file, line, column, message

No message repeats a value of `api_key` or `sha256`: people paste secrets into the wrong place.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PolicyProblem:
    """One problem. `file` is relative to the policy directory; line and column count from 1, and
    are 0 for what is not about a line."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class PolicyError(Exception):
    """A policy that cannot be used. `problems` is never empty, sorted by file and position."""

    def __init__(self, problems: Iterable[PolicyProblem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class UnsettledError(PolicyError):
    """The policy is being written at this moment; to ask again later is worth while."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?` when a known word is near, else `; known: …`, else nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f": did you mean '{near[0]}'?"
    return f"; known: {_listing(names)}" if names else ""


def _listing(names: list[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
