"""docs/clients.md names the clients that are driven here."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs/clients.md"


def test_the_page_of_clients_names_every_module_of_tests_and_no_other() -> None:
    named = re.findall(r"`(test_\w+\.py)`", PAGE.read_text())
    modules = {path.name for path in HERE.glob("test_*.py")} - {Path(__file__).name}
    assert sorted(named) == sorted(modules)
