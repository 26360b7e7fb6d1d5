"""Prepares the peers' environments, once, and again when what is pinned changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LITELLM = HERE / ".venv-litellm"
NODE_MODULES = HERE / "node_modules"
PLOTS = HERE / ".venv-plots"


class InstallError(Exception):
    """Something to install with is missing, or failed; the message says what to do."""


def litellm() -> Path:
    """Its command. Raises InstallError."""
    _virtualenv(LITELLM, HERE / "requirements-litellm.txt")
    return LITELLM / "bin" / "litellm"


def plots() -> Path:
    """A Python that has matplotlib. Raises InstallError."""
    _virtualenv(PLOTS, HERE / "requirements-plots.txt")
    return PLOTS / "bin" / "python"


def portkey() -> list[str]:
    """Its command. Raises InstallError."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise InstallError(
            "the peer Portkey needs Node.js and npm (Debian, Ubuntu: apt-get install nodejs npm), "
            "or run without it: make bench BENCH='--without portkey'"
        )
    if _stale(NODE_MODULES, HERE / "package-lock.json"):
        _say(NODE_MODULES)
        _run([npm, "ci", "--prefix", str(HERE), "--silent", "--no-audit", "--no-fund"])
        (NODE_MODULES / ".installed").touch()
    return [node, str(NODE_MODULES / "@portkey-ai/gateway/build/start-server.js")]


def _virtualenv(folder: Path, requirements: Path) -> None:
    if not _stale(folder, requirements):
        return
    _say(folder)
    if not (folder / "bin/python").exists():
        _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
    _run(
        [*pip, "--disable-pip-version-check", "--no-compile", "--no-deps", "-r", str(requirements)]
    )
    (folder / ".installed").touch()


def _stale(folder: Path, pinned: Path) -> bool:
    mark = folder / ".installed"
    return not mark.exists() or mark.stat().st_mtime < pinned.stat().st_mtime


def _say(folder: Path) -> None:
    print(f"bench: installing {folder.relative_to(HERE.parent)} (once, a minute or so)", flush=True)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise InstallError(
            f"{' '.join(command[:4])} … failed:\n{(done.stderr or done.stdout)[-2000:]}"
        )


def pinned(name: str) -> str:
    """The version of a peer."""
    if name == "portkey":
        packages = json.loads((HERE / "package.json").read_text())["dependencies"]
        return str(packages["@portkey-ai/gateway"])
    lines = (HERE / "requirements-litellm.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith("litellm=="))
