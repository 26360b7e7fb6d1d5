"""`tollhouse ledger …`: the ledger from the outside. What is imported late takes a moment."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Coroutine
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar

import typer

from tollhouse.terminal import fail, out

ledger = typer.Typer(
    help="The ledger: what was spent, and what the access log says of it.", no_args_is_help=True
)


T = TypeVar("T")

Policies = Annotated[Path, typer.Option(help="The policy tree in force.")]
RedisUrl = Annotated[
    Optional[str],  # noqa: UP045 - typer reads it
    typer.Option(
        envvar="REDIS_URL",
        help="redis://, rediss:// or unix:// of the ledger. [default: that of the `tollhouse up`"
        " in .run, else redis://127.0.0.1:6379/0]",
    ),
]
Logs = Annotated[
    list[str],
    typer.Option("--log", help="An access log, plain or gzipped; a quoted pattern; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_REDIS = "redis://127.0.0.1:6379/0"
_UP = Path(".run/up.json")
_IDEMPOTENT = "; what was settled is settled"
_APP_DIR = Path(typer.get_app_dir("tollhouse"))


@ledger.command()
def reconcile(  # noqa: PLR0913, PLR0917 - one option each
    log: Logs,
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = None,
    checkpoint: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it
        typer.Option(help="Remembers how far each log is settled. [default: under your home]"),
    ] = None,
    no_checkpoint: Annotated[
        bool, typer.Option("--no-checkpoint", help="Read all, remember nothing.")
    ] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Read what was read before, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Settle from access logs what the stream to ratelimit_service missed.

    Nothing is charged twice, so it may be run at any time, stopped, and run again. Exit status 1
    when some lines could not be settled, or Redis stays away.
    """
    from ratelimit_service.replay.checkpoint import Checkpoint  # noqa: PLC0415
    from ratelimit_service.replay.command import run_reconcile  # noqa: PLC0415

    place = None if no_checkpoint else checkpoint or _APP_DIR / "reconcile.json"
    remembered = Checkpoint(place, from_start=from_start)
    url = _address(redis_url)
    work = run_reconcile(log, policies, url, remembered, as_json=as_json)
    settled_all = _run(work, url, _IDEMPOTENT)
    raise typer.Exit(0 if settled_all else 1)


@ledger.command()
def rebuild(
    month: Annotated[str, typer.Option(help="YYYY-MM, in the policy's time zone.")],
    log: Logs,
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Restore the spend of a month into a Redis that came back empty, or whose cluster lost a part,
    from access logs alone.

    Give every log of the month, each once. Nothing is added twice, and nothing to what was not
    lost: it may be stopped and run again.
    """
    from ratelimit_service.replay.command import run_rebuild  # noqa: PLC0415

    if not re.fullmatch(r"\d{4}-(?:0[1-9]|1[0-2])", month):
        fail(f"{month} is not a month such as 2026-11")
    url = _address(redis_url)
    done = _run(run_rebuild(log, policies, url, month, as_json=as_json), url, _IDEMPOTENT)
    raise typer.Exit(0 if done else 1)


@ledger.command()
def accept(
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the ledger in Redis as it is, after it came back empty and was rebuilt, or not.

    Until then calls are refused, if the policy says `on_store_outage: deny`. What is not in it was
    never spent, as far as budgets go; `tollhouse ledger rebuild` restores it from access logs.
    """
    from ratelimit_service import inspection  # noqa: PLC0415

    if not yes:
        typer.confirm("Budgets will count from what Redis holds now. Go on?", abort=True)
    url = _address(redis_url)
    count = _run(inspection.accept(policies, url), url)
    out.print(f"{count} slots are taken as they are; calls pass within two seconds", markup=False)


@ledger.command()
def show(
    team: Annotated[str, typer.Argument(help="A team of the policy.")],
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Explain every counter of a team: its keys, projects, models, and the org's."""
    from ratelimit_service import inspection  # noqa: PLC0415

    url = _address(redis_url)
    _run(inspection.show(team, policies, url, as_json=as_json), url)


@ledger.command()
def usage(  # noqa: PLR0913, PLR0917 - one option each
    team: Annotated[str, typer.Argument(help="A team of the policy.")],
    first: Annotated[str, typer.Option("--from", help="YYYY-MM-DD. [default: 30 days ago]")] = "",
    last: Annotated[str, typer.Option("--to", help="YYYY-MM-DD. [default: today]")] = "",
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = None,
    as_json: AsJson = False,
) -> None:
    """Print a team's usage by day, project, key and model, as CSV."""
    from ratelimit_service import inspection  # noqa: PLC0415

    days = (_day(first), _day(last))
    form = "json" if as_json else "csv"
    url = _address(redis_url)
    _run(inspection.show_usage(team, policies, url, days, form), url)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        fail(f"{text} is not a day such as 2026-11-24")


def _address(given: str | None) -> str:
    """The Redis that is named, or that of a gateway that runs here, or the usual one."""
    if given:
        return given
    try:
        up: dict[str, str | None] = json.loads(_UP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _REDIS
    return up.get("redis_url") or _REDIS


def _without_password(url: str) -> str:
    return re.sub(r"//[^/]*@", "//", url)


def _run(work: Coroutine[Any, Any, T], url: str, hint: str = "") -> T:
    """Run a command; what may be expected to go wrong ends it with a line and exit status 1."""
    from ratelimit_service.inspection import UnknownTeam  # noqa: PLC0415
    from ratelimit_service.ledger.errors import LedgerError  # noqa: PLC0415
    from tollhouse.access_log.logs import LogError  # noqa: PLC0415
    from tollhouse.policy.problems import PolicyError  # noqa: PLC0415

    try:
        return asyncio.run(work)
    except LedgerError as error:
        asked = f"{error} at {_without_password(url)} (--redis-url)"
        fail(f"{asked}: run it again when Redis is back{hint}.")
    except (LogError, PolicyError, UnknownTeam, ValueError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped. What was settled is settled: run it again to go on.")
