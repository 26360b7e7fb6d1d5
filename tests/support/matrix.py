"""The table endpoint x mode x situation, and the policy that its tests run under."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import e2e_policy
from tests.support.e2e_policy import key
from tests.support.matrix_calls import CALLS, Call
from tollhouse.money import nano_to_usd

MODES = ("json", "sse")
SITUATIONS = ("allowed", "denied", "over-limit", "over-budget", "aborted")
ROWS = tuple(dict.fromkeys(call.row for call in CALLS))
BY_ALIAS = {call.alias: call for call in CALLS}
BY_ID = ("responses-id-get", "responses-id-delete")


@dataclass(frozen=True)
class Cell:
    """One cell; as text it is its test's id."""

    row: str
    mode: str
    situation: str

    def __str__(self) -> str:
        return f"{self.row}-{self.mode}-{self.situation}"

    @property
    def call(self) -> Call:
        return BY_ALIAS[f"{self.row}-{self.mode}"]


ALL = [Cell(row, mode, situation) for row in ROWS for mode in MODES for situation in SITUATIONS]
_WHOLE = "it answers in one piece, there are no events"
_FREE = "it is free: nothing is reserved, so no budget refuses it"
_CLOSED = "no alias opens it, so it is never sent: that it is denied is all there is"
_NO_EVENTS = {
    *("embeddings", "messages-count_tokens", "audio-translations", "moderations", "rerank"),
    *(*BY_ID, "files", "batches"),
}
REASONS = {
    **{cell: _WHOLE for cell in ALL if cell.mode == "sse" and cell.row in _NO_EVENTS},
    **{Cell(row, "json", "over-budget"): _FREE for row in ("messages-count_tokens", *BY_ID)},
    **{
        Cell("batches", "json", situation): _CLOSED
        for situation in SITUATIONS
        if situation != "denied"
    },
}
"""Why a cell has no test."""

_OUTCOMES: dict[Cell, str] = {}


def cells_of(situation: str) -> list[Cell]:
    """The cells of a situation that make sense."""
    return [cell for cell in ALL if cell.situation == situation and cell not in REASONS]


@contextlib.contextmanager
def marked(cell: Cell) -> Iterator[None]:
    """A block that shows what the cell claims; the summary says whether it came to its end."""
    _OUTCOMES[cell] = "FAIL"
    yield
    _OUTCOMES[cell] = "ok"


def summary() -> str:
    """The table with a mark for each cell: ok, FAIL, `-` where there is a reason, `.` if not
    run."""
    head = f"{'':<24}{'':<6}" + "".join(f"{each:<13}" for each in SITUATIONS)
    lines = [head]
    for row in ROWS:
        for mode in MODES:
            cells = [Cell(row, mode, situation) for situation in SITUATIONS]
            marks = ["-" if cell in REASONS else _OUTCOMES.get(cell, ".") for cell in cells]
            if any(mark != "-" for mark in marks):
                lines.append(f"{row:<24}{mode:<6}" + "".join(f"{mark:<13}" for mark in marks))
    notes = [f"- {reason}" for reason in dict.fromkeys(REASONS.values())]
    return "\n".join([*lines, *notes])


# The policy.

PROVIDERS = """\
providers:
  openai: {dialect: openai, base_url: https://api.openai.com/v1, api_key: "${OPENAI_API_KEY}"}
  anthropic:
    dialect: anthropic
    base_url: https://api.anthropic.com/v1
    api_key: ${ANTHROPIC_API_KEY}
  hasty:
    dialect: anthropic
    base_url: https://hasty.test/v1
    api_key: ${HASTY_API_KEY}
    idle_timeout_seconds: 1
"""
HASTY = """\
  messages-hasty:
    provider: hasty
    model: claude-haiku-4-5
    price: {input_per_million: 1, output_per_million: 5}
"""


def _alias(call: Call) -> str:
    lines = [
        f"  {call.alias}:",
        f"    provider: {call.dialect}",
        f"    model: {call.model}",
        f"    endpoints: [{call.endpoint}]",
        f"    price: {json.dumps(call.price)}",
        *(f"    {option}" for option in call.options),
    ]
    return "".join(f"{line}\n" for line in lines)


def limited_key(cell: Cell) -> str:
    """The key of a cell that is over its limit of requests."""
    return f"rpm-{ALL.index(cell)}"


def budget_key(cell: Cell) -> str:
    """The key of a cell that is over its budget."""
    return f"usd-{ALL.index(cell)}"


def _keys() -> str:
    # What is stored is made first, by a call of its own.
    limited = [
        key(
            limited_key(cell), f"  limits: {{requests_per_minute: {2 if cell.row in BY_ID else 1}}}"
        )
        for cell in cells_of("over-limit")
    ]
    # The worst case, to the nano-dollar: one call fits, and none after it.
    budgets = [
        key(
            budget_key(cell),
            f"  limits: {{monthly_spend_usd: {nano_to_usd(cell.call.worst)}}}",
        )
        for cell in cells_of("over-budget")
    ]
    return "".join([*limited, *budgets])


def write(directory: Path) -> Path:
    """The policy tree in `directory`."""
    served = [call for call in CALLS if call.price]
    names = ", ".join(call.alias for call in served)
    team = (
        f"team: web\nowner: web-leads@acme.test\nprojects:\n  site:\n    "
        f"allowed_models: [{names}, messages-hasty]\n    keys:\n"
        f"{key('app', '  limits: {monthly_spend_usd: 100}')}"
        f"{key('other')}"
        f"{key('stranger', '  allowed_models: [embeddings-json]')}"
        f"{key('stranger2', '  allowed_models: [rerank-json]')}"
        f"{_keys()}"
    )
    models = "models:\n" + "".join(map(_alias, served)) + HASTY
    return e2e_policy.write(directory, providers=PROVIDERS, models=models, teams__web=team)
