"""`tollhouse ledger reconcile` and `rebuild`, with their progress and their words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.store import open_redis
from ratelimit_service.ledger.types import SettleOutcome
from ratelimit_service.replay.checkpoint import Checkpoint
from ratelimit_service.replay.rebuild import Rebuild, Rebuilt
from ratelimit_service.replay.reconcile import Reconcile, Summary
from tollhouse.access_log import logs
from tollhouse.access_log.progress import progress
from tollhouse.money import format_usd, nano_to_usd
from tollhouse.policy.compiler import load_snapshot
from tollhouse.terminal import err, out

_DEADLINE_SECONDS = 5.0  # of a trip to Redis: nobody waits for a batch
_PATIENCE_SECONDS = 30.0

_WORDS = {
    SettleOutcome.DUPLICATE: "were settled before",
    SettleOutcome.SETTLED: "settled now: their reservation was still held",
    SettleOutcome.CORRECTED: "corrected: their lease had ended, and the charge was a guess",
    SettleOutcome.UNKNOWN: "charged now: the ledger knew nothing of them",
    SettleOutcome.COUNTED: "were settled before, and are counted now where that had failed",
    SettleOutcome.TOO_OLD: (
        "too old to tell (over 3 days): `tollhouse ledger rebuild` adds those that were lost since"
    ),
}

_REBUILT_WORDS = {
    "summed": "requests are too old to settle, and summed",
    "kept": "requests are too old to settle, and were not lost: nothing to restore",
    "unclear": "requests are left: a run over 3 days ago may have charged them",
    "before": "slots had been restored before",
    "late": "slots came back over 3 days ago: calls that ran at that moment may be in them twice",
}
_NOTHING_ADDED = (
    "no sum was added, as what these logs lack could not be added later: repair them, or unpack"
    " what can be read with `gzip -dc FILE > PLAIN`, and run it again"
)


async def run_reconcile(
    names: list[str], policies: Path, redis_url: str, checkpoint: Checkpoint, *, as_json: bool
) -> bool:
    """Whether every line could be settled. Raises LogError, PolicyError, LedgerUnavailable."""
    paths = logs.expand(names)
    org = load_snapshot(policies).org
    async with _ledger(redis_url) as ledger:
        with progress(paths, err) as read:
            run = Reconcile(ledger, org, checkpoint, read, _PATIENCE_SECONDS)
            summary = await run.run(paths)
    if as_json:
        out.print_json(json.dumps(_figures(summary)))
    else:
        _tell(summary)
    return summary.complete


async def run_rebuild(
    names: list[str], policies: Path, redis_url: str, month: str, *, as_json: bool
) -> bool:
    """Whether every line could be settled or summed. Raises as `run_reconcile`."""
    paths = logs.expand(names)
    org = load_snapshot(policies).org
    async with _ledger(redis_url) as ledger:
        with progress(paths, err) as read:
            rebuilt = await Rebuild(ledger, org, month, read, _PATIENCE_SECONDS).run(paths)
    if as_json:
        teams = {team: nano_to_usd(nano) for team, nano in rebuilt.teams.items()}
        counts = {name: getattr(rebuilt, name) for name in _REBUILT_WORDS}
        out.print_json(json.dumps({**_figures(rebuilt.settled), **counts, "restored_usd": teams}))
    else:
        _tell(rebuilt.settled)
        _tell_rebuilt(rebuilt)
    return rebuilt.complete


@contextlib.asynccontextmanager
async def _ledger(redis_url: str) -> AsyncIterator[Ledger]:
    client = open_redis(redis_url, timeout_seconds=_DEADLINE_SECONDS)
    ledger = Ledger(client, timeout_seconds=_DEADLINE_SECONDS)
    try:
        yield ledger
    finally:
        await ledger.close()


def _tell_rebuilt(rebuilt: Rebuilt) -> None:
    for name, words in _REBUILT_WORDS.items():
        if count := getattr(rebuilt, name):
            out.print(f"{count:>9,} {words}", markup=False)
    for team, nano in sorted(rebuilt.teams.items()):
        out.print(f"team {team}: {format_usd(nano)} restored", markup=False)
    if rebuilt.settled.damaged:
        err.print(_NOTHING_ADDED, markup=False)


def _tell(summary: Summary) -> None:
    if summary.lost:
        lost = ", ".join(summary.lost)
        out.print(f"came back empty since the last run, so all is read again: {lost}", markup=False)
    skipped = " since the last run" if summary.skipped_bytes else ""
    out.print(f"{summary.lines:,} lines read{skipped}", markup=False)
    for outcome, words in _WORDS.items():
        if count := summary.outcomes[outcome]:
            out.print(f"{count:>9,} requests {words}", markup=False)
    if summary.malformed:
        out.print(f"{summary.malformed:>9,} lines cannot be settled:", markup=False)
    for problem in summary.problems + summary.damaged:
        err.print(problem, markup=False)
    if summary.cut:
        out.print(
            f"{summary.cut:>9,} logs end in the middle of a line, which is left", markup=False
        )
    out.print(f"{format_usd(summary.charged)} newly charged", markup=False)


def _figures(summary: Summary) -> dict[str, object]:
    return {
        "lines": summary.lines,
        **{outcome.value: summary.outcomes[outcome] for outcome in SettleOutcome},
        "malformed": summary.malformed,
        "cut": summary.cut,
        "charged_usd": nano_to_usd(summary.charged),
        "problems": summary.problems,
        "damaged": summary.damaged,
        "lost": summary.lost,
    }
