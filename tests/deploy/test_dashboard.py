"""deploy/grafana: a dashboard that Grafana takes, whose every expression Prometheus takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.compose import ROOT
from tests.deploy.monitoring import dashboard, dashboard_queries, panels, promtool

VARIABLES: dict[str, dict[str, Any]] = {
    one["name"]: one for one in dashboard()["templating"]["list"]
}
WIDTH = 24


def test_every_field_of_the_dashboard_is_one_that_grafanas_own_models_know() -> None:
    """Reading drops what they do not know."""
    register_default_plugins()
    read = JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard()))
    assert _missing(dashboard(), json.loads(read), "") == []


def _missing(wanted: Any, found: Any, path: str) -> list[str]:
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [
            lost
            for name, value in wanted.items()
            for lost in _missing(value, found.get(name), f"{path}/{name}")
        ]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [lost for place, pair in pairs for lost in _missing(*pair, f"{path}/{place}")]
    return [] if wanted == found else [path]


def test_every_expression_is_promql(tmp_path: Path) -> None:
    queries = dashboard_queries()
    named = [{"record": f"q:{place}", "expr": one.text} for place, one in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": named}]}))
    checked = promtool("check", "rules", "--lint=none", path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    print(f"\n{len(queries)} expressions in {len(panels())} panels")


def test_the_datasource_is_chosen_at_import_or_taken_from_provisioning() -> None:
    """A variable serves both; Grafana does not ask for `__inputs` when it provisions a file."""
    chosen = VARIABLES["DS_PROMETHEUS"]
    assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus")
    named = re.findall(r'"uid": "([^"]+)"', json.dumps(dashboard()))
    assert set(named) == {"${DS_PROMETHEUS}", "tollhouse"}
    for target in (target for panel in panels() for target in panel["targets"]):
        assert target["datasource"] == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}


def test_every_variable_that_is_used_exists_and_every_one_that_exists_is_used() -> None:
    text = json.dumps(dashboard()["panels"])
    used = set(re.findall(r"\$\{?([A-Za-z_]+)", text)) - {"__rate_interval", "__range"}
    assert used == set(VARIABLES) == {"DS_PROMETHEUS", "team", "model", "provider"}


def test_the_rows_are_there() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == [
        *("Overview", "Budgets and limits", "Providers", "Ledger", "Policy"),
        "Services and Envoy",
    ]


def test_no_panel_lies_on_another_or_outside() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= WIDTH
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def test_panels_can_be_told_apart() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    titles = [panel["title"] for panel in panels()]
    assert len(set(ids)) == len(ids)
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_a_legend_names_only_labels_that_the_expression_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        kept = {
            label.strip()
            for labels in re.findall(r"by \(([^)]*)\)", target["expr"])
            for label in labels.split(",")
        }
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


@pytest.mark.parametrize("kind", ["datasources", "dashboards"])
def test_what_grafana_is_provisioned_with_has_the_version_that_it_reads(kind: str) -> None:
    for path in (ROOT / "deploy/grafana/provisioning" / kind).glob("*.yml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1
