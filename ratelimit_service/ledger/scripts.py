"""The Lua scripts beside this module, ready to be called.

Each is `scripts/prelude.lua`, what else it shares with others, and its own file; Redis knows it by
the SHA-1 of that text.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "scripts"
# Every run makes all functions of its script anew, so none is given what it does not use.
_SHARED = {
    "admit": ("days", "endings", "holds"),
    "inspect": ("days",),
    "restore": ("endings", "holds"),
    "settle": ("endings", "holds"),
    "sweep": ("endings", "holds"),
    "withdraw": ("endings", "holds"),
}


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script and the digest that EVALSHA knows it by."""

    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script, with its KEYS and ARGV as the head of its file describes them.

    With an `item` it can be one of several that a single run takes: each is an ARGV after `args`,
    and has its place in the list that the run returns. Without one, `args` are all of ARGV.
    """

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]
    item: str | None = None


@cache
def load_script(name: str) -> Script:
    """The script `scripts/<name>.lua`, read once a process."""
    parts = ("prelude", *_SHARED.get(name, ()), name)
    text = "".join((_FOLDER / f"{part}.lua").read_text("utf-8") for part in parts)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
