"""`tollhouse import …`. What is imported late takes a moment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from tollhouse.terminal import err, fail, say

importer = typer.Typer(
    help="Policy trees from the configuration of other gateways.", no_args_is_help=True
)


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
        fail(str(error))
    if format_ == "json":
        data = as_data(done.carried, done.notes, str(out), done.problems)
        typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        say(summary(done.carried, done.notes))
    for problem in done.problems:
        err.print(problem, markup=False)
    if done.problems:
        err.print(f"{len(done.problems)} problem(s): edit {out}, then `tollhouse check {out}`.")
        raise typer.Exit(1)
