"""The one way in which the console changes a policy: locked, checked as a whole, audited."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from console.actors import Actor
from console.edits import diffs
from console.edits.data import Data
from console.edits.git import GitCommits
from console.edits.policy import Policy
from console.edits.refusals import refusal_of
from console.problems import ManageError
from tollhouse.policy.compiler import PolicyLoader
from tollhouse.policy.editing.draft import Draft, locked
from tollhouse.policy.editing.draft import Planned as PlannedDraft
from tollhouse.policy.editing.errors import EditError, MeanwhileError, ReadOnlyError
from tollhouse.policy.editing.replacing import Rewrite

_TRIES = 4


@dataclass(frozen=True, slots=True)
class Change:
    """What a use case has done to a draft.

    `action` is such as key.create, `target` the id, team, team/project or alias. `before` and
    `after` are its definition, hashes included; None: it was, or is, not there. `command` is what
    to run in a checkout where the directory is read-only: of what mints a key, which a patch
    would give to nobody; `remainder` is YAML that the command has no words for.
    """

    action: str
    target: str
    team: str | None = None
    before: Data | None = None
    after: Data | None = None
    command: str | None = None
    remainder: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """An edit that is about to be written."""

    actor: Actor
    change: Change
    old: Policy
    new: Policy
    rewrites: Mapping[str, Rewrite]


@dataclass(frozen=True, slots=True)
class Edited:
    """The policy after an edit. `warnings`: what went wrong and did not undo it."""

    policy: Policy
    change: Change
    warnings: list[str] = field(default_factory=list)


Edit = Callable[[Draft, Policy], Change]
"""Changes a draft, given the policy that it is of. Raises ManageError, EditError."""


def _nothing(_planned: Planned) -> None:
    return None


class PolicyEditor:
    """Edits one policy directory; for any thread, beside other processes and hand edits.

    `before_write` is called, in the thread that asked, when an edit is checked and about to be
    written: if it raises, nothing is written. `undone` is called for an edit that it was called for
    and that was not written after all. `git`: commits each edit.
    """

    def __init__(
        self,
        directory: Path,
        *,
        allow_demo_keys: bool = False,
        git: GitCommits | None = None,
        before_write: Callable[[Planned], None] = _nothing,
        undone: Callable[[Planned], None] = _nothing,
    ) -> None:
        self._directory = directory
        self._git = git
        self._before_write = before_write
        self._undone = undone
        self._loader = PolicyLoader(allow_demo_keys=allow_demo_keys)
        self._turn = threading.Lock()

    def edit(self, actor: Actor, edit: Edit) -> Edited:
        """Make an edit, or none where it changes nothing.

        Where somebody saves a file at the same moment it is done again, on what is then there.

        Raises:
            ManageError: what `edit` and `before_write` raise; `policy_invalid`, `policy_refused`,
                `layout_not_editable`, `edited_meanwhile`, `policy_read_only`.
        """
        with self._turn:
            try:
                return self._tried(actor, edit)
            except ReadOnlyError as error:
                raise self._read_only(actor, edit, error) from error
            except EditError as error:
                raise refusal_of(error, actor) from error

    def _tried(self, actor: Actor, edit: Edit) -> Edited:
        for _ in range(_TRIES - 1):
            try:
                return self._once(actor, edit)
            except MeanwhileError:
                continue
        return self._once(actor, edit)

    def _once(self, actor: Actor, edit: Edit) -> Edited:
        with locked(self._directory):
            draft, old, change, planned = self._planned(edit)
            new = Policy(planned.tree, planned.snapshot)
            warnings = list(change.warnings)
            if not planned.rewrites:
                return Edited(new, change, warnings)
            about = Planned(actor, change, old, new, planned.rewrites)
            self._write(draft, planned, about)
            return Edited(new, change, warnings + self._committed(about))

    def _write(self, draft: Draft, planned: PlannedDraft, about: Planned) -> None:
        told: list[Planned] = []

        def before() -> None:
            self._before_write(about)
            told.append(about)

        try:
            draft.write(planned, before)
        except Exception:
            for each in told:
                self._undone(each)
            raise

    def _planned(self, edit: Edit) -> tuple[Draft, Policy, Change, PlannedDraft]:
        draft = Draft(self._directory, self._loader)
        old = Policy(draft.tree, draft.snapshot)
        change = edit(draft, old)
        return draft, old, change, draft.plan()

    def _committed(self, about: Planned) -> list[str]:
        if self._git is None:
            return []
        message = f"{about.change.action} {about.change.target}"
        warning = self._git.commit(about.rewrites, about.actor.id, message)
        return [] if warning is None else [warning]

    def _read_only(self, actor: Actor, edit: Edit, error: ReadOnlyError) -> ManageError:
        """What would have been written, for who has a checkout."""
        try:
            _, _, change, planned = self._planned(edit)
        except EditError as wrong:
            return refusal_of(wrong, actor)
        if change.command is not None:
            return _by_command(change, error)
        message = (
            f"{error}. details.patch is the change: git apply --directory=DIR in your checkout,"
            " DIR being where the policy is in it, or patch -p1 inside it"
        )
        details = {"patch": diffs.patch(planned.rewrites)}
        return ManageError("policy_read_only", message, details=details)


def _by_command(change: Change, error: ReadOnlyError) -> ManageError:
    message = f"{error}. In a checkout of it run: {change.command}"
    details = {"command": change.command}
    if change.remainder:
        message += "; then add details.then to the key"
        details["then"] = change.remainder
    return ManageError("policy_read_only", message, details=details)
