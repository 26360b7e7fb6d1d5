"""Alert rules and the dashboard as the tests read them: expressions, and what they ask for."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from tests.deploy.compose import ROOT
from tests.support.programs import required

RULES = ROOT / "deploy/alerts.yml"
RULE_TESTS = ROOT / "deploy/alerts_test.yml"
DASHBOARD = ROOT / "deploy/grafana/tollhouse.json"

# What Grafana puts in place of its variables when everything is selected.
_VARIABLES = {"$team": ".*", "$model": ".*", "$provider": ".*"}


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    return required(name, "prometheus")


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What it said; a failure of it is the caller's to judge."""
    command = [program("promtool"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class Query:
    """One expression, and where it stands."""

    where: str
    text: str


@dataclass(frozen=True)
class Selector:
    """What an expression reads: a metric, and the labels that its samples must have."""

    metric: str
    labels: frozenset[str]
    written: str


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def rule_queries() -> list[Query]:
    return [Query(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard_queries(rate_interval: str = "1m", shown_range: str = "6h") -> list[Query]:
    """The targets of all panels, as Grafana sends them when everything is selected."""
    values = {**_VARIABLES, "$__rate_interval": rate_interval, "$__range": shown_range}
    name = re.compile("|".join(map(re.escape, values)))
    return [
        Query(
            f"{panel['title']}/{target['refId']}",
            name.sub(lambda found: values[found[0]], target["expr"]),
        )
        for panel in panels()
        for target in panel["targets"]
    ]


def selectors(expression: str) -> set[Selector]:
    """Each metric that is read, with the labels that are matched on it or kept of it."""
    return set(_selectors(promql_parser.parse(expression), frozenset()))


def _selectors(node: Any, kept: frozenset[str]) -> Iterator[Selector]:
    if isinstance(node, promql_parser.MatrixSelector):
        node = node.vector_selector
    if isinstance(node, promql_parser.VectorSelector):
        matched = {one.name for one in node.matchers.matchers}
        yield Selector(str(node.name), frozenset(matched | kept), node.prettify())
    if isinstance(node, promql_parser.AggregateExpr) and node.modifier:
        kept |= frozenset(node.modifier.labels)
    if isinstance(node, promql_parser.Call) and node.func.name == "label_replace":
        made, _, read = (one.val for one in node.args[1:4])
        kept = kept - {made} | ({read} - {""})
    for child in _children(node):
        yield from _selectors(child, kept)


def _children(node: Any) -> list[Any]:
    if isinstance(node, promql_parser.BinaryExpr):
        return [node.lhs, node.rhs]
    if isinstance(node, promql_parser.Call):
        return list(node.args)
    inner = getattr(node, "expr", None)
    return [] if inner is None else [inner]
