"""docs/simulator.md says what there is, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tollhouse.simulator.directives import KNOWN
from tollhouse.simulator.quirks import QUIRKS

PAGE = (Path(__file__).parents[2] / "docs/simulator.md").read_text()


def first_cells(heading: str) -> list[str]:
    """Every `code` in the first column of the table under a heading."""
    section = PAGE.split(f"# {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [code for cell in cells for code in re.findall(r"`([^`]+)`", cell)]


def test_every_directive_has_its_place():
    shown = {code.partition("=")[0] for code in first_cells("Faults")}
    assert shown == set(re.findall(r"(\w+)(?:=[^,]*)?(?:, |$)", KNOWN))


def test_every_quirk_has_its_row():
    assert first_cells("Quirks") == sorted(QUIRKS)


def test_every_option_has_its_row():
    command = [sys.executable, "-m", "tollhouse.simulator", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))
    assert set(first_cells("The simulated providers")) == options


def test_every_book_has_its_row(simulator):
    for name in first_cells("The control API"):
        status = 405 if name == "faults" else 200
        assert simulator.http.get(f"/_simulator/{name}").status_code == status
