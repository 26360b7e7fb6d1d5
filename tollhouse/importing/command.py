"""`tollhouse import …`. What is imported late takes a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, NoReturn, Optional

import typer
from rich.console import Console

importer = typer.Typer(
    help="Policy trees from the configuration of other gateways.", no_args_is_help=True
)

out_console = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


@importer.callback()
def _group() -> None:
    """Policy trees from the configuration of other gateways."""


@importer.command()
def litellm(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="LiteLLM's config.yaml.")],
    out: Annotated[Path, typer.Option("--out", help="A new or empty directory for the tree.")],
    keys: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads it
        typer.Option(
            "--keys", help="JSON of /key/list with full objects, /team/list, or a dump; repeatable."
        ),
    ] = None,
    format_: Annotated[
        Literal["text", "json"], typer.Option("--format", help="How the outcome is printed.")
    ] = "text",
) -> None:
    """Turn a LiteLLM proxy config, and its keys, into a policy tree.

    Says what could not be carried over, and writes the same to IMPORT.md beside the tree. Keys keep
    working: their hashes are the same. Exit status 1 when the tree needs an edit before it loads.
    """
    from tollhouse.importing.exports import ExportError  # noqa: PLC0415
    from tollhouse.importing.litellm import OutputExists, import_litellm  # noqa: PLC0415
    from tollhouse.importing.report import as_data, summary  # noqa: PLC0415
    from tollhouse.importing.sources import SourceError  # noqa: PLC0415

    try:
        done = import_litellm(config, keys or [], out)
    except (ExportError, OutputExists, SourceError, OSError) as error:
        _fail(str(error))
    if format_ == "json":
        data = as_data(done.carried, done.notes, str(out), done.problems)
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        out_console.print(summary(done.carried, done.notes), markup=False)
    for problem in done.problems:
        err.print(problem, markup=False)
    if done.problems:
        err.print(f"{len(done.problems)} problem(s): edit {out}, then `tollhouse check {out}`.")
        raise typer.Exit(1)


def _fail(message: str) -> NoReturn:
    err.print(f"error: {message}", markup=False)
    raise typer.Exit(1)
