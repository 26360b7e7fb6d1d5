"""What the editing library raises, as refusals of the API."""

from __future__ import annotations

from typing import Any

from console.actors import Actor
from console.problems import ManageError
from tollhouse.policy.editing.errors import (
    EditError,
    LayoutError,
    LockedError,
    MeanwhileError,
    WouldBeRefused,
)
from tollhouse.policy.problems import PolicyError, PolicyProblem

_SHOWN = 20


def refusal_of(error: EditError, actor: Actor) -> ManageError:
    """Of all but `ReadOnlyError`, which is answered with how to do it in Git."""
    if isinstance(error, WouldBeRefused):
        if not error.before:
            return _policy_refused(error.error)
        return policy_invalid(error.error) if actor.teams is None else policy_withheld()
    if isinstance(error, LockedError):
        return ManageError("edited_meanwhile", str(error))
    if isinstance(error, LayoutError):
        return ManageError("layout_not_editable", str(error))
    if isinstance(error, MeanwhileError):
        message = "the policy's files kept changing while this was done: nothing was changed, retry"
        return ManageError("edited_meanwhile", message)
    return ManageError("policy_invalid", str(error)) if actor.teams is None else policy_withheld()


def policy_withheld() -> ManageError:
    """For who may not see other teams' files: it says nothing of what is in them."""
    message = (
        "the policy's files hold a mistake, and are not edited until it is mended: tell an admin,"
        " whom `tollhouse check` tells where it is"
    )
    return ManageError("policy_invalid", message)


def policy_invalid(error: PolicyError) -> ManageError:
    """The policy is wrong as it is: whoever mends it needs to know where."""
    told = "; ".join(map(str, error.problems[:3]))
    more = f"; and {len(error.problems) - 3} more" if len(error.problems) > 3 else ""
    message = f"the policy's files hold a mistake, and are not edited until it is mended: {told}"
    problems = [_placed(problem) for problem in error.problems[:_SHOWN]]
    return ManageError("policy_invalid", f"{message}{more}", details={"problems": problems})


def _policy_refused(error: PolicyError) -> ManageError:
    """Lines of an edit that was not written would name nothing that can be seen."""
    messages = list(dict.fromkeys(problem.message for problem in error.problems))[:_SHOWN]
    message = f"the policy would not be taken with this, nothing was changed: {messages[0]}"
    return ManageError("policy_refused", message, details={"problems": messages})


def _placed(problem: PolicyProblem) -> dict[str, Any]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
    }
