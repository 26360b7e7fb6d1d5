"""deploy/alerts.yml: rules that Prometheus takes, each of which fires when it should, and says what
to do."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from promql_parser import parse_duration

from tests.deploy.compose import ROOT
from tests.deploy.monitoring import RULE_TESTS, RULES, alerts, promtool, rules
from tests.support.pages import anchors

ALERTS = alerts()
CASES = {case["name"]: case for case in yaml.safe_load(RULE_TESTS.read_text())["tests"]}


def test_prometheus_takes_the_rules() -> None:
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"SUCCESS: {len(rules())} rules found" in checked.stdout
    print(f"\n{len(ALERTS)} alerts, {len(rules()) - len(ALERTS)} recording rules")


def test_prometheus_takes_its_configuration() -> None:
    checked = promtool("check", "config", "--syntax-only", ROOT / "deploy/prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_fires_on_its_case_and_not_before() -> None:
    tested = promtool("test", "rules", RULE_TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_has_a_case() -> None:
    assert sorted(CASES) == sorted(ALERTS)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_a_case_has_a_time_without_the_alert_and_a_later_one_with_it(name: str) -> None:
    quiet, *firing = CASES[name]["promql_expr_test"]
    wanted = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    assert {each["expr"] for each in (quiet, *firing)} == {wanted}
    assert "exp_samples" not in quiet
    for each in firing:
        assert each["exp_samples"]
        assert parse_duration(quiet["eval_time"]) < parse_duration(each["eval_time"])


def _labels(name: str) -> list[set[str]]:
    """Of each series that fires in its case."""
    firing = CASES[name]["promql_expr_test"][1:]
    samples = [sample for each in firing for sample in each["exp_samples"]]
    return [set(re.findall(r'(\w+)="', sample["labels"])) for sample in samples]


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_what_an_alert_says_names_only_labels_that_it_has(name: str) -> None:
    said = " ".join(ALERTS[name]["annotations"].values())
    named = set(re.findall(r"\$labels\.(\w+)", said))
    for labels in _labels(name):
        assert named <= labels


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_how_urgent_it_is_what_happened_and_what_to_do(name: str) -> None:
    alert: dict[str, Any] = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["summary"].endswith(".")


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_page_that_an_alert_sends_to_exists(name: str) -> None:
    path, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")
    assert (ROOT / path).is_file()
    assert not anchor or anchor in anchors(ROOT / path)


def test_the_alerts_are_listed_with_their_urgency_and_page() -> None:
    page = (ROOT / "docs/monitoring.md").read_text()
    listed = re.findall(r"^\| `(Tollhouse\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert listed == [(name, alert["labels"]["severity"]) for name, alert in ALERTS.items()]


def test_the_limit_of_connections_is_envoys() -> None:
    envoy = (ROOT / "envoy/envoy.yaml").read_text()
    [most] = re.findall(r"max_active_downstream_connections: (\d+)", envoy)
    assert ALERTS["TollhouseConnectionsNearLimit"]["expr"].endswith(f"> 0.8 * {most}")
