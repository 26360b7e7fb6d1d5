"""What the console says of the policy while the files hold a mistake, and afterwards."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from console.current import CurrentPolicy
from tests.support.policy import TREE, write_tree
from tollhouse.serving.policy import PolicyMetrics


def follow(current: CurrentPolicy) -> None:
    """As `watch` does after a change."""
    current.holder.reload()
    finding = current.holder.finding
    if finding.error:
        current.refused(finding.error)
    else:
        current.loaded(finding.snapshot)


def test_a_mistake_that_is_taken_back_leaves_nothing_stale(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    tree = write_tree(tmp_path)
    current = CurrentPolicy(tree, lambda *_: None, PolicyMetrics(registry), allow_demo_keys=False)
    version = current.policy.snapshot.version
    (tree / "org.yaml").write_text("org: [\n")
    follow(current)
    assert current.problems
    assert registry.get_sample_value("tollhouse_policy_stale") == 1
    (tree / "org.yaml").write_text(TREE["org.yaml"])
    follow(current)
    assert current.problems == ()
    assert registry.get_sample_value("tollhouse_policy_stale") == 0
    assert current.policy.snapshot.version == version
