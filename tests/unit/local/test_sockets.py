"""A unix socket lies in its run directory, or where nobody else can put one."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tollhouse.local.sockets import SocketPathError, socket_path

LONG = Path("/srv") / ("x" * 100)


@pytest.fixture
def temp_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("t")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_socket_lies_beside_the_other_files_of_its_run() -> None:
    assert socket_path(Path("/srv/run"), "authz") == Path("/srv/run/authz.sock")


def test_a_path_of_103_bytes_stays_and_one_of_104_moves(temp_dir: Path) -> None:
    run_dir = Path("/" + "é" * 46)  # 93 bytes, though 47 characters
    assert socket_path(run_dir, "redi") == run_dir / "redi.sock"
    assert socket_path(run_dir, "redis").parent == temp_dir / f"tollhouse-{os.getuid()}"


def test_a_server_can_listen_where_a_long_path_moves_to(temp_dir: Path) -> None:
    path = socket_path(LONG, "ratelimit")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(path))
    assert path.is_socket()
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_sockets_of_two_runs_and_two_services_do_not_meet_and_one_is_found_again(
    temp_dir: Path,
) -> None:
    moved = {
        socket_path(run_dir, name) for run_dir in (LONG, LONG / "2") for name in ("authz", "redis")
    }
    assert len(moved) == 4
    assert socket_path(LONG, "authz") in moved


def _open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)


def _a_link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")


def _a_link_to_nowhere(folder: Path) -> None:
    folder.symlink_to("nowhere")


def _a_file(folder: Path) -> None:
    folder.touch(mode=0o600)


@pytest.mark.parametrize("make", [_open_to_others, _a_link, _a_link_to_nowhere, _a_file])
def test_a_folder_that_is_not_ours_alone_is_refused(
    temp_dir: Path, make: Callable[[Path], None]
) -> None:
    folder = temp_dir / f"tollhouse-{os.getuid()}"
    make(folder)
    with pytest.raises(SocketPathError) as refused:
        socket_path(LONG, "redis")
    assert str(refused.value) == f"{folder} is not a folder of ours alone"


def test_a_folder_of_another_user_is_refused(
    temp_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = os.getuid() + 1
    (temp_dir / f"tollhouse-{somebody}").mkdir(mode=0o700)
    monkeypatch.setattr(os, "getuid", lambda: somebody)
    with pytest.raises(SocketPathError, match=f"tollhouse-{somebody} is not a folder of ours"):
        socket_path(LONG, "redis")
