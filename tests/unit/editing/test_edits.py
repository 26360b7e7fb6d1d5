"""Edits leave a policy that loads, with what was asked and nothing else changed."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.policy import write_tree
from tollhouse.keyring import actions
from tollhouse.keyring.places import places
from tollhouse.policy import loader
from tollhouse.policy.compiled import Key
from tollhouse.policy.compiler import load_snapshot

NOW = datetime(2026, 11, 28, tzinfo=UTC)
IDS = ("a", "b", "c")
COMMENTS = st.sampled_from(["", "  # why", "   # é: [x, {y}]"])
ENTRIES = st.sampled_from(
    [
        "- {{id: {id},  sha256: {hash} }}",
        '- id: "{id}"\n  sha256: {hash}',
        "- sha256: {hash}\n  # in between\n  id: '{id}'\n  metadata: {{owner: ann}}",
        "- id: {id}\n  sha256: {hash}\n\n  metadata:\n    owner: ann\n  # limits: {{}}",
        "-\n  id: {id}\n  env:   prod\n  sha256: {hash}",
    ]
)
EDITS = st.tuples(
    st.sampled_from(["new", "rotate", "block", "unblock", "expire", "never"]),
    st.sampled_from(IDS),
)


@st.composite
def team_files(draw: st.DrawFn) -> str:
    """A team with three keys, in one of the ways in which people write YAML."""
    offset, end = draw(st.sampled_from([0, 2, 4])), draw(st.sampled_from(["\n", "\r\n"]))
    lines = [f"team: web{draw(COMMENTS)}", "projects:", "  site:", "    allowed_models: [ small ]"]
    lines.append(f"    keys:{draw(COMMENTS)}")
    for key_id in IDS:
        entry = draw(ENTRIES).format(id=key_id, hash=key_id * 64).splitlines()
        entry[-1] += draw(COMMENTS)
        lines += [" " * (4 + offset) + line if line else "" for line in entry]
    lines += draw(st.sampled_from([[], ["", "    # the end", "  other: {}  # none"]]))
    return end.join(lines) + draw(st.sampled_from(["", end]))


def edit(directory: Path, what: str, key_id: str, number: int) -> Any:
    if what == "new":
        return actions.new(directory, "web", "site", None, {"id": f"new-{number}"})
    if what == "rotate":
        return actions.rotate(directory, key_id, timedelta(days=number % 3), NOW)
    if what in ("expire", "never"):
        return actions.expire(directory, key_id, NOW if what == "expire" else None)
    return (
        actions.block(directory, key_id, "leak")
        if what == "block"
        else actions.unblock(directory, key_id)
    )


def asked(what: str, key: Key, done: Any) -> Key:
    """The key as it has to be after the edit."""
    if what == "rotate":
        ended = {} if done.previous_until is None else {key.sha256: done.previous_until}
        previous = {**key.previous, **ended}
        return replace(key, sha256=done.key.sha256, previous=previous)
    if what in ("expire", "never"):
        return replace(key, expires_at=NOW.timestamp() if what == "expire" else None)
    others = {name: each for name, each in key.metadata.items() if name != actions.REASON}
    reason = {actions.REASON: "leak"} if what == "block" else {}
    return replace(
        key, blocked_at="key" if what == "block" else None, metadata={**others, **reason}
    )


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
@given(team_files(), st.lists(EDITS, min_size=1, max_size=4))
def test_edits_do_what_was_asked_and_leave_all_else(text: str, edits: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = write_tree(Path(name))
        file = directory / "teams/web.yaml"
        file.write_bytes(text.encode())
        for number, (what, key_id) in enumerate(edits):
            before = load_snapshot(directory)
            lines_before = others(directory, f"new-{number}" if what == "new" else key_id)
            done = edit(directory, what, key_id, number)
            after = load_snapshot(directory)
            touched = f"new-{number}" if what == "new" else key_id
            expected = dict(before.keys)
            expected[touched] = (
                done.key if what == "new" else asked(what, before.keys[key_id], done)
            )
            assert after.keys == expected
            assert replace(after, version="", keys={}, keys_by_hash={}, teams={}) == replace(
                before, version="", keys={}, keys_by_hash={}, teams={}
            )
            assert after.teams == before.teams
            around = others(directory, touched)
            assert (
                around == lines_before
                if what != "new"
                else [*around[0], *around[1]] == lines_before[0]
            )
            assert file.read_bytes().count(b"\r") in (0, file.read_bytes().count(b"\n"))


def others(directory: Path, key_id: str) -> tuple[list[bytes], list[bytes]]:
    """The lines of the team's file above a key and below it; all and none without the key."""
    lines = (directory / "teams/web.yaml").read_bytes().splitlines()
    found = [(place.key.id, place.line - 1) for place in places(loader.load(directory))]
    starts = [line - (lines[line - 1].strip() == b"-") for _, line in found]
    ids = [name for name, _ in found]
    if key_id not in ids:
        return lines, []
    end = lines.index(b"    # the end") - 1 if b"    # the end" in lines else len(lines)
    index = ids.index(key_id)
    return lines[: starts[index]], lines[[*starts, end][index + 1] :]
