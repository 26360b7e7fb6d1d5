"""`tollhouse replay`."""

from __future__ import annotations

import json

from rich.console import Console

from authz_service.inputs import loading
from authz_service.replay.run import Replay
from authz_service.replay.words import as_csv, as_data, as_text
from authz_service.revisions import tree_of
from tollhouse.access_log import logs
from tollhouse.access_log.progress import progress
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot


def run_replay(  # noqa: PLR0913, PLR0917 - one option each
    names: list[str],
    policies: str,
    against: str | None,
    form: str,
    out: Console,
    err: Console,
    *,
    demo_keys: bool,
) -> bool:
    """Whether nothing is newly denied. Raises InputProblem, BadPolicy, LogError."""
    policy = _load(policies, demo_keys=demo_keys)
    other = _load(against, demo_keys=demo_keys) if against is not None else None
    paths = logs.expand(names)
    with progress(paths, err) as read:
        report = Replay(policy, other, read).run(paths)
    for problem in report.problems:
        err.print(problem, markup=False)
    if form == "json":
        out.print(json.dumps(as_data(report, policy.version), indent=2), markup=False)
    elif form == "csv":
        out.print(as_csv(report), markup=False, end="")
    else:
        out.print("\n".join(as_text(report, policy.version)), markup=False)
    return not report.of("newly_denied")


def _load(name: str, *, demo_keys: bool) -> Snapshot:
    with tree_of(name) as directory, loading(name):
        return load_snapshot(directory, allow_demo_keys=demo_keys)
