"""What can go wrong with an edit.

EditError             the edit was not made and no file was changed; the message says why
  ├ WouldBeRefused    the resulting policy is wrong; carries the `PolicyError`
  ├ ReadOnlyError     the directory does not take edits: change the policy where it comes from
  ├ MeanwhileError    somebody else changed a file at this moment; to do it again is worth while
  ├ LockedError       another edit holds the lock, for longer than any takes
  └ LayoutError       a file is laid out in a way that only a person can edit
"""

from tollhouse.policy.problems import PolicyError


class EditError(Exception):
    """No file was changed."""


class WouldBeRefused(EditError):
    """The services would not take the policy, as it is (`before`) or as the edit would make it."""

    def __init__(self, error: PolicyError, *, before: bool) -> None:
        self.error = error
        self.before = before
        what = "the policy is wrong as it is" if before else "the policy would not be taken"
        super().__init__(f"{what}, nothing was changed:\n{error}")


class ReadOnlyError(EditError):
    """The directory, or a file of it, cannot be written, or would not keep what is written."""


class MeanwhileError(EditError):
    """A file is not what was read."""


class LockedError(EditError):
    """Somebody holds the lock of the directory."""


class LayoutError(EditError):
    """There is no such place, or no splice there that is sure to change nothing else."""
