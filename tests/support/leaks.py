"""Finds what must never be in a file that a gateway leaves behind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tollhouse.demo import DEMO_KEYS, DEMO_TOKENS

MARKED_PROMPT = "xyzzy-prompt-7f3a"
"""A text that tests send as a prompt, and that nothing but a leak writes down."""

# What the simulator answers with, a generated key, any key that a test makes up, and any
# credential that follows its scheme (a sentence says "Bearer KEY", a template "Bearer ").
_FORBIDDEN = {
    "a prompt": re.compile(re.escape(MARKED_PROMPT.encode())),
    "an answer": re.compile(rb"tok1 tok2|tok2 "),
    "a key of a client": re.compile(rb"tl[hm]_[0-9A-Za-z]{32}"),
    "a made-up key": re.compile(rb"sk-e2e-"),
    "an authorization header": re.compile(rb"(?i)\b(?:bearer|basic)\s+[\w.~+/-]{8,}"),
}
# Where `tollhouse up` gives its user the published keys and token of the example policies.
_MAY_SHOW_DEMO_KEYS = {"up.json", "up.log"}
_SIMULATOR_KEYS = ("simulator.key", "simulator-keys/*")


def leaks(run_dir: Path) -> Iterator[str]:
    """One sentence per leak in the files under `run_dir`; it does not repeat what leaked."""
    key_files = {path for pattern in _SIMULATOR_KEYS for path in run_dir.glob(pattern)}
    secrets = {line for path in key_files for line in path.read_bytes().split()}
    for path in sorted(one for one in run_dir.rglob("*") if one.is_file()):
        content = _without_demo_keys(path)
        for what, pattern in _FORBIDDEN.items():
            if pattern.search(content):
                yield f"{what} is in {path}"
        if path not in key_files and any(secret in content for secret in secrets):
            yield f"the provider's key is in {path}"


def _without_demo_keys(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name in _MAY_SHOW_DEMO_KEYS:
        for key in (*DEMO_KEYS.values(), *DEMO_TOKENS.values()):
            content = content.replace(key.encode(), b"DEMO")
    return content
