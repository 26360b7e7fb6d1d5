"""`tollhouse ledger …`: the ledger from the outside. What is imported late takes a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional, TypeVar

import typer
from rich.console import Console

ledger = typer.Typer(
    help="The ledger: what was spent, and what the access log says of it.", no_args_is_help=True
)

out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

T = TypeVar("T")

Policies = Annotated[Path, typer.Option(help="The policy tree, for its time zone.")]
RedisUrl = Annotated[
    str, typer.Option(envvar="REDIS_URL", help="redis://, rediss:// or unix:// of the ledger.")
]
Logs = Annotated[
    list[str],
    typer.Option("--log", help="An access log, plain or gzipped; a quoted pattern; repeatable."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_REDIS = "redis://127.0.0.1:6379/0"
_APP_DIR = Path(typer.get_app_dir("tollhouse"))


@ledger.command()
def reconcile(  # noqa: PLR0913, PLR0917 - one option each
    log: Logs,
    policies: Policies = Path("policies"),
    redis_url: RedisUrl = _REDIS,
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
    settled_all = _run(run_reconcile(log, policies, redis_url, remembered, as_json=as_json))
    raise typer.Exit(0 if settled_all else 1)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command; what it can expect to go wrong ends it with a line and exit status 1."""
    from ratelimit_service.ledger.errors import LedgerError  # noqa: PLC0415
    from ratelimit_service.replay.logs import LogError  # noqa: PLC0415
    from tollhouse.policy.problems import PolicyError  # noqa: PLC0415

    try:
        return asyncio.run(work)
    except LedgerError as error:
        _fail(f"{error}. What was settled is settled: run it again when Redis is back.")
    except (LogError, PolicyError, ValueError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("stopped. What was settled is settled: run it again to go on.")


def _fail(message: str) -> NoReturn:
    err.print(f"error: {message}", markup=False)
    raise typer.Exit(1)
