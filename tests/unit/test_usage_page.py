"""docs/usage.md has the table that the fixtures of the Lua tests make, and names every count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tollhouse.money import COUNTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "usage.md").read_text("utf-8")
EXPECTED: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests/fixtures/usage/expected.yaml").read_text("utf-8")
)


def row(name: str, item: dict[str, Any]) -> str:
    kind = "SSE" if name.endswith(".sse") else "JSON"
    counts = ", ".join(f"`{count}`" for count in item["counts"] or []) or "nothing"
    cells = [item["provider"], f"`{item['endpoint']}`", kind, counts, item.get("note", "")]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    rows = sorted(row(name, item) for name, item in EXPECTED.items())
    return "\n".join(rows)


def test_the_table_of_providers_is_that_of_the_fixtures() -> None:
    assert table() in PAGE, f"the table should be\n{table()}"


def test_every_count_is_explained_and_reported_by_somebody() -> None:
    reported = {count for item in EXPECTED.values() for count in item["counts"] or {}}
    assert reported == {*COUNTS, "service_tier"} - {"characters"}
    assert "`characters` of speech are counted in the request" in PAGE
    for count in reported:
        assert f"\n| `{count}` | " in PAGE
