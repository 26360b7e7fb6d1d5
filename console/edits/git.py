"""Commits of edits, where the policy is in a Git working tree. No shell, no hooks that refuse."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path

from tollhouse.policy.editing.replacing import Rewrite

log = logging.getLogger("tollhouse.console")

_SECONDS = 30.0
_PROGRAM = shutil.which("git") or "/usr/bin/git"
_COMMITTER = ("-c", "user.name=Tollhouse", "-c", "user.email=tollhouse@localhost")
_NOT_OF_NAMES = re.compile(r"[^\w@.+ -]")
_UNFINISHED: Mapping[str, str] = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}


class GitCommits:
    """Commits the files of one edit each, and nothing else that is staged or changed: a file that
    had changes which nobody committed is left to whoever made them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def commit(self, rewrites: Mapping[str, Rewrite], actor: str, message: str) -> str | None:
        """None, or why the edit, which is made, is not committed; that is logged too."""
        try:
            warning = (
                self._in_the_middle()
                or self._uncommitted(rewrites)
                or self._commit(rewrites, actor, message)
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            warning = f"git did not run ({type(error).__name__})"
        if warning is None:
            return None
        log.warning("edit not committed", extra={"fields": {"reason": warning}})
        return f"the edit is made, and not committed: {warning}"

    def _in_the_middle(self) -> str | None:
        asked = self._git("rev-parse", "--absolute-git-dir")
        if asked.returncode:
            return _said(asked)
        folder = Path(asked.stdout.strip())
        found = [what for name, what in _UNFINISHED.items() if (folder / name).exists()]
        return (
            f"the repository is in the middle of {found[0]}: end it, then commit" if found else None
        )

    def _uncommitted(self, rewrites: Mapping[str, Rewrite]) -> str | None:
        changed = [
            name
            for name, rewrite in sorted(rewrites.items())
            if self._id_of(name, rewrite.before) != self._head_id(name)
        ]
        if not changed:
            return None
        advice = "changes that nobody committed: commit them, then the next edit is committed too"
        return f"{' and '.join(changed)} {'has' if len(changed) == 1 else 'have'} {advice}"

    def _head_id(self, name: str) -> str | None:
        """None: the file is not in HEAD, or there is none."""
        asked = self._git("rev-parse", "--verify", "--quiet", f"HEAD:./{name}")
        return asked.stdout.strip() if asked.returncode == 0 else None

    def _id_of(self, name: str, text: str | None) -> str | None:
        """What a commit of this text would hold, line ends and filters as the repository wants."""
        if text is None:
            return None
        return self._git("hash-object", f"--path={name}", "--stdin", given=text).stdout.strip()

    def _commit(self, rewrites: Mapping[str, Rewrite], actor: str, message: str) -> str | None:
        names = sorted(rewrites)
        made = [name for name in names if rewrites[name].before is None]
        added = self._git("add", "--intent-to-add", "--", *made) if made else None
        if added is not None and added.returncode:
            return _said(added)
        done = self._git(*_COMMITTER, "commit", *_how(actor, message), "--", *names)
        return _said(done) if done.returncode else None

    def _git(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        # Names of files are names: `*` in one is no pattern.
        return subprocess.run(
            [_PROGRAM, "--literal-pathspecs", "-C", str(self._directory), *arguments],
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            input=given,
            timeout=_SECONDS,
        )


def _how(actor: str, message: str) -> Collection[str]:
    name = _NOT_OF_NAMES.sub(" ", actor).strip() or "somebody"
    author = f"--author={name} via Tollhouse <tollhouse@localhost>"
    # Nobody is there to type a passphrase, or to answer a hook.
    return ("--quiet", "--no-verify", "--no-gpg-sign", author, f"--message={message}", "--only")


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"git: {lines[0]}" if lines else f"git ended with status {done.returncode}"
