"""`tollhouse diff`."""

from __future__ import annotations

import json

from rich.console import Console

from authz_service.diff.compare import compare
from authz_service.diff.words import as_data, as_markdown, as_text
from authz_service.inputs import loading
from authz_service.revisions import tree_of
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot


def run_diff(old: str, new: str, form: str, out: Console) -> bool:
    """Whether anything changes for anybody. Raises InputProblem, BadPolicy."""
    before, after = _load(old), _load(new)
    groups, versions = compare(before, after), (before.version, after.version)
    if form == "json":
        text = json.dumps(as_data(groups, *versions), indent=2, ensure_ascii=False)
    else:
        text = "\n".join((as_markdown if form == "markdown" else as_text)(groups, *versions))
    out.print(text, markup=False)
    return bool(groups)


def _load(name: str) -> Snapshot:
    # Whether demo keys are taken is no matter of the policy: both trees are read alike.
    with tree_of(name) as directory, loading(name):
        return load_snapshot(directory, allow_demo_keys=True)
