"""`tollhouse prices`. What is imported late takes a second."""

from __future__ import annotations

from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Optional

import typer

from tollhouse.policy.problems import PolicyError, suggestion
from tollhouse.terminal import err, fail, say


class PricesFormat(StrEnum):
    """How prices are printed."""

    TEXT = "text"
    JSON = "json"


def prices(
    alias: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="One model. [default: all]"),
    ] = None,
    policies: Annotated[Path, typer.Option(help="The policy tree.", file_okay=False)] = Path(
        "policies"
    ),
    form: Annotated[PricesFormat, typer.Option("--format")] = PricesFormat.TEXT,
) -> None:
    """Say what each model and deployment costs now, and where that is written.

    Exit status 0, also where some have no price; 1: there is no such model, or the policy is wrong.
    """
    from tollhouse.policy import loader  # noqa: PLC0415
    from tollhouse.prices.in_force import in_force  # noqa: PLC0415
    from tollhouse.prices.words import json_text, text_lines  # noqa: PLC0415

    try:
        tree = loader.load(policies)
    except PolicyError as error:
        fail(str(error))
    found = [each for each in in_force(tree) if alias in (None, each.alias)]
    if not found and alias is not None:
        fail(f"unknown model '{alias}'{suggestion(alias, tree.models.model.models)}")
    listed = version("genai-prices")
    if form is PricesFormat.JSON:
        say(json_text(found, listed))
    else:
        for line in text_lines(found, listed):
            say(line)
    for problem in tree.problems:
        err.print(str(problem), markup=False)
    if tree.problems:
        raise typer.Exit(1)
