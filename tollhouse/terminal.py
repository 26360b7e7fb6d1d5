"""Where the commands print: answers to standard output, words for people to standard error."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

# What is printed is data too: `models.yaml:100:15` holds no emoji.
out = Console(highlight=False, soft_wrap=True, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """One answer, as it is."""
    out.print(text, markup=False)


def fail(message: str, status: int = 1) -> NoReturn:
    """End the command with what is wrong and an exit status."""
    err.print(f"[red]error:[/red] {escape(message)}")
    raise typer.Exit(status)
