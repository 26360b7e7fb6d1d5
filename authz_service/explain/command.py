"""`tollhouse explain`."""

from __future__ import annotations

import json

from rich.console import Console

from authz_service.explain.explanation import EmptyCall, explain, table
from authz_service.explain.words import as_data, explained, table_data, tabled
from authz_service.inputs import alias_of, key_of, moment_of
from authz_service.verdicts import Refused
from tollhouse.policy.opened import OpenedPolicy


def run_explain(  # noqa: PLR0913 - one option each
    policy: OpenedPolicy,
    key_id: str,
    model: str | None,
    path: str | None,
    at: str | None,
    *,
    empty_call: EmptyCall,
    as_json: bool,
    out: Console,
) -> bool:
    """Whether the call, or any call of the key, is allowed. Raises InputProblem."""
    snapshot = policy.snapshot
    key, now = key_of(snapshot, key_id), moment_of(at, snapshot.org.time_zone)
    if model is None:
        rows = table(policy, key, path=path, now=now)
        text = json.dumps(table_data(rows), indent=2) if as_json else "\n".join(tabled(rows))
        allowed = any(not isinstance(row.decision, Refused) for row in rows)
    else:
        alias = alias_of(snapshot, model)
        found = explain(policy, key, alias, path=path, now=now, empty_call=empty_call)
        data = as_data(found, snapshot.version, now)
        lines = explained(found, snapshot.version, now)
        text = json.dumps(data, indent=2) if as_json else "\n".join(lines)
        allowed = found.allowed
    out.print(text, markup=False)
    return allowed
