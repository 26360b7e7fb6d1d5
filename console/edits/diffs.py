"""Rewritten files as a patch that `git apply` and `patch -p1` take."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from tollhouse.policy.editing.replacing import Rewrite

_NO_END = "\\ No newline at end of file\n"


def patch(rewrites: Mapping[str, Rewrite]) -> str:
    """Unified, paths relative to the policy directory."""
    return "".join(line for name, each in sorted(rewrites.items()) for line in _file(name, each))


def _file(name: str, rewrite: Rewrite) -> Iterator[str]:
    lines = difflib.unified_diff(
        _lines(rewrite.before),
        _lines(rewrite.after),
        "/dev/null" if rewrite.before is None else f"a/{name}",
        "/dev/null" if rewrite.after is None else f"b/{name}",
    )
    yield f"diff --git a/{name} b/{name}\n"
    if rewrite.before is None:
        yield "new file mode 100644\n"
    if rewrite.after is None:
        yield "deleted file mode 100644\n"
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n{_NO_END}"


def _lines(text: str | None) -> list[str]:
    # Not splitlines: a line of a patch ends with LF and with nothing else.
    return [] if not text else [f"{line}\n" for line in text.split("\n")[:-1]] + _rest(text)


def _rest(text: str) -> list[str]:
    last = text.rpartition("\n")[2]
    return [last] if last else []
