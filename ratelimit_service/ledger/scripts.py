"""The Lua scripts beside this module, ready to be called.

Each is `scripts/prelude.lua` followed by its own file; Redis knows it by the SHA-1 of that text.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "scripts"


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script and the digest that EVALSHA knows it by."""

    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """One run of a script, with its KEYS and ARGV as the head of its file describes them."""

    script: Script
    keys: tuple[str, ...]
    args: tuple[str | int, ...]


@cache
def load_script(name: str) -> Script:
    """The script `scripts/<name>.lua`, read once a process."""
    text = "".join((_FOLDER / f"{part}.lua").read_text("utf-8") for part in ("prelude", name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
