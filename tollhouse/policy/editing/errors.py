"""What can go wrong with an edit.

EditError            the edit was not made and no file was changed; the message says why
  └ WouldBeRefused   the resulting policy is wrong; carries the `PolicyError`
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
