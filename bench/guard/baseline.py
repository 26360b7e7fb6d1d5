"""baseline.json: the figures that a run is compared with, and the Python that they are of."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.guard.comparing import INSTRUCTIONS, Figure

PATH = Path(__file__).with_name("baseline.json")

# By unit, how much more than in the baseline passes; README.md says why.
_SAME_PYTHON = {INSTRUCTIONS: 0.05, "scripts": 0.0, "commands": 0.01, "bytes": 0.02}
_OTHER_PYTHON = {**_SAME_PYTHON, INSTRUCTIONS: 0.1}


@dataclass(frozen=True, slots=True)
class Baseline:
    """`python` is the `sys.version` of the build that the figures were measured with."""

    python: str
    figures: Mapping[str, Figure]

    @property
    def is_of_this_python(self) -> bool:
        """Whether it was measured with the build that runs now."""
        return self.python == sys.version

    @property
    def tolerances(self) -> Mapping[str, float]:
        """How much more than these figures passes now, by unit."""
        return _SAME_PYTHON if self.is_of_this_python else _OTHER_PYTHON


def read() -> Baseline:
    """What is stored."""
    stored = json.loads(PATH.read_text())
    figures = {name: Figure(**figure) for name, figure in stored["figures"].items()}
    return Baseline(stored["python"], figures)


def write(figures: Mapping[str, Figure]) -> None:
    """Store these as figures of the Python that runs now."""
    rounded = {name: _rounded(figure) for name, figure in figures.items()}
    PATH.write_text(json.dumps({"python": sys.version, "figures": rounded}, indent=1) + "\n")


def _rounded(figure: Figure) -> dict[str, Any]:
    relative = float(f"{figure.relative:.5g}")
    return {**asdict(figure), "amount": round(figure.amount, 1), "relative": relative}
