"""`tollhouse audit …`. What is imported late takes a moment, or is in the `console` extra."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from tollhouse.terminal import err, fail, out, say

audit = typer.Typer(
    help="The audit log: is it whole, and what do it and the access log say.", no_args_is_help=True
)

_UP = Path(".run/up.json")
_TAMPERED, _UNREADABLE = 1, 2


@audit.command()
def verify(
    files: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it
        typer.Argument(
            metavar="FILES",
            help="The log and its rotated files, plain or gzipped; quoted patterns."
            " [default: those of the `tollhouse up` in .run]",
        ),
    ] = None,
    head: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="SEQ:HASH that was noted: that record must still be there."),
    ] = None,
    start: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="SEQ:HASH of the last record of older files, if these are gone."),
    ] = None,
    redis_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Compare with the head that is kept in this Redis, too."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find any change to the audit log: records changed, removed, inserted, moved or cut off.

    Compares with audit.head beside the log, too. Prints the head: note it elsewhere, and give it to
    --head later. Exit status 1 if something was tampered with, 2 if something cannot be read.
    """
    from console.audit import words  # noqa: PLC0415
    from console.audit.verify import verify as check  # noqa: PLC0415
    from tollhouse.access_log import logs  # noqa: PLC0415
    from tollhouse.access_log.progress import progress  # noqa: PLC0415

    with _readable():
        noted = _noted(head, redis_url)
        paths = logs.expand(files or _rotated(_of_up("audit_log", "name the files")))
        with progress(paths, err) as read:
            verdict = check(paths, noted, _head(start, "--start") if start else words.NOTHING, read)
    say(json.dumps(words.as_data(verdict), indent=2) if as_json else words.as_text(verdict))
    raise typer.Exit(0 if verdict.is_good else _TAMPERED)


class Reported(StrEnum):
    """What is asked of the logs."""

    CALLS = "calls"
    WHO = "who"
    DENIALS = "denials"
    SPIKES = "spikes"
    ACTIONS = "actions"


class Form(StrEnum):
    """How it is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


@audit.command()
def search(  # noqa: PLR0913, PLR0917 - one option each
    report: Annotated[
        Optional[Reported],  # noqa: UP045 - typer reads it
        typer.Option(
            help="calls: the lines. who: which key used which model, first, last, tokens, cost."
            " denials: by code, team, key. spikes: unusual hours. actions: the audit log's records."
            " [default: calls, or actions with --audit, --actor, --action or --target]",
        ),
    ] = None,
    log: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Access logs, plain or gzipped; a quoted pattern; repeatable."
            " [default: that of the `tollhouse up` in .run]"
        ),
    ] = None,
    audit_log: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--audit", help="Audit logs, in the same way."),
    ] = None,
    since: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--from", help="2026-11-28, 2026-11-28T09:00:00Z, or 24h (ago). In UTC."),
    ] = None,
    until: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--to", help="The same; a day is included, a time is not."),
    ] = None,
    key: Annotated[Optional[str], typer.Option(help="A key's id.")] = None,  # noqa: UP045
    team: Annotated[Optional[str], typer.Option(help="A team.")] = None,  # noqa: UP045
    project: Annotated[Optional[str], typer.Option(help="A project.")] = None,  # noqa: UP045
    model: Annotated[Optional[str], typer.Option(help="A model's alias.")] = None,  # noqa: UP045
    env: Annotated[Optional[str], typer.Option(help="The key's env.")] = None,  # noqa: UP045
    decision: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="allowed, or a refusal's code; of actions: allowed, refused, failed."),
    ] = None,
    actor: Annotated[Optional[str], typer.Option(help="Who managed.")] = None,  # noqa: UP045
    action: Annotated[Optional[str], typer.Option(help="Such as key.block.")] = None,  # noqa: UP045
    target: Annotated[Optional[str], typer.Option(help="Such as key:web-1.")] = None,  # noqa: UP045
    limit: Annotated[
        int, typer.Option(min=0, max=100_000, help="Rows; 0 is all calls, as CSV, in no order.")
    ] = 100,
    form: Annotated[Form, typer.Option("--format", help="table, json or csv.")] = Form.TABLE,
) -> None:
    """Search access logs and audit logs: who called what when, what was refused, who managed what.

    Values may be patterns: --key 'web-*'. Lines that are broken are counted and left out. Exit
    status 2 if something cannot be read.
    """
    with _readable():
        from console.audit.filters import ActionFilters, CallFilters, span_of  # noqa: PLC0415
        from console.audit.search_command import Asked, run_search  # noqa: PLC0415

        is_action = bool(audit_log or actor or action or target)
        name = report or (Reported.ACTIONS if is_action else Reported.CALLS)
        asked = Asked(
            name.value,
            _searched(name, log, audit_log),
            span_of(since, until, datetime.now(UTC)),
            CallFilters(key, team, project, model, env, decision),
            ActionFilters(actor, action, target, decision),
            limit,
            form.value,
        )
        run_search(asked, out, err)


def _searched(name: Reported, log: list[str] | None, audit_log: list[str] | None) -> list[str]:
    if name is Reported.ACTIONS:
        if log:
            fail("--log is not for --report actions: --audit is", _UNREADABLE)
        return audit_log or _rotated(_of_up("audit_log", "give --audit"))
    if audit_log:
        fail(f"--audit is not for --report {name.value}: --log is", _UNREADABLE)
    return log or [_of_up("access_log", "give --log")]


def _noted(head: str | None, redis_url: str | None) -> list[Any]:
    from console.audit.chain import Noted  # noqa: PLC0415

    noted = [Noted("--head", _head(head, "--head"))] if head else []
    if redis_url:
        noted.append(Noted("the head in Redis", _kept(redis_url)))
    return noted


def _head(text: str, option: str) -> Any:
    from console.audit.head import parse_head  # noqa: PLC0415

    try:
        return parse_head(text)
    except ValueError as error:
        fail(f"{option} {text}: {error}", _UNREADABLE)


def _kept(redis_url: str) -> Any:
    from console.audit.errors import Unreadable  # noqa: PLC0415
    from console.audit.kept_head import KEY, KeptHead  # noqa: PLC0415

    kept = KeptHead(redis_url).read()
    if kept is None:
        raise Unreadable(f"there is no {KEY} in that Redis: no console has kept a head there")
    return kept


def _rotated(log: str) -> list[str]:
    return [f"{log}*"]


def _of_up(fact: str, otherwise: str) -> str:
    """A fact of the gateway that runs here."""
    try:
        up: dict[str, Any] = json.loads(_UP.read_text(encoding="utf-8"))
        return str(up[fact])
    except (OSError, ValueError, KeyError):
        fail(f"no `tollhouse up` with such a log runs in {os.curdir}: {otherwise}", _UNREADABLE)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What may be expected to go wrong ends the command with a line and exit status 2."""
    from console.audit.errors import AuditError  # noqa: PLC0415
    from tollhouse.access_log.logs import LogError  # noqa: PLC0415

    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: pip install 'tollhouse[console]'", _UNREADABLE)
    except (AuditError, LogError, OSError, ValueError) as error:
        fail(str(error), _UNREADABLE)
    except KeyboardInterrupt:
        fail("stopped", _UNREADABLE)
