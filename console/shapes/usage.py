"""Usage and errors: what can be asked, and how they are shown."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from console.reads.usage import Dimension
from console.shapes.base import Name, Shape, SpendUsd

Day = Annotated[date | None, Field(strict=False, ge=date(2000, 1, 1), lt=date(3000, 1, 1))]
Names = Annotated[str, Field(max_length=200)]


class Period(Shape):
    """Days of the org's time zone, both inclusive; default: this month until today."""

    model_config = ConfigDict(populate_by_name=True)

    first: Day = Field(default=None, alias="from")
    """YYYY-MM-DD."""
    last: Day = Field(default=None, alias="to")
    """YYYY-MM-DD."""
    team: Name | None = None
    project: Names | None = None
    key: Names | None = None
    """A key's id."""
    model: Names | None = None
    """An alias."""


class UsageQueryShape(Period):
    """Which usage, and how to sum it up."""

    group_by: Annotated[list[str], Field(max_length=5)] = Field(default=["team"])
    """team, project, key, model, day; several, repeated or by commas."""
    format: Literal["json", "csv"] = "json"


class ErrorQueryShape(Period):
    """Which errors and refusals."""

    code: Annotated[str, Field(max_length=64)] | None = None
    """A decision code, such as budget_exceeded."""
    limit: Annotated[int, Field(ge=1, le=500, strict=False)] = 50
    """Lines of the log at most."""


class UsageSum(Shape):
    """What was used. What it was not grouped by is null."""

    day: str | None = None
    team: str | None = None
    project: str | None = None
    key: str | None = None
    model: str | None = None
    requests: int
    """Calls that were admitted and have ended."""
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    cost_usd: SpendUsd
    errors: int
    """Calls that failed at the provider; part of requests."""
    refusals: dict[str, int]
    """By decision code; not part of requests."""


class UsageReport(Shape):
    """What was used on some days."""

    model_config = ConfigDict(populate_by_name=True)

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    time_zone: str
    group_by: list[Dimension]
    data: list[UsageSum]
    total: UsageSum


class CodeCount(Shape):
    """How often calls were refused with a code, or failed at the provider."""

    code: Annotated[str, WithJsonSchema({"type": "string", "examples": ["budget_exceeded"]})]
    count: int


class ErrorLine(Shape):
    """One call that did not go well, from the access log; never a key or a prompt."""

    time: str
    status: int | None
    code: str
    """Its decision code."""
    reason: str | None
    """What the caller was told, as far as the log has it."""
    team: str | None
    project: str | None
    key: str | None
    model: str | None
    env: str | None
    provider: str | None
    path: str | None
    request_id: str | None
    client_address: str | None


class ErrorReport(Shape):
    """What went wrong on some days."""

    model_config = ConfigDict(populate_by_name=True)

    first: date = Field(alias="from")
    last: date = Field(alias="to")
    time_zone: str
    summary: list[CodeCount]
    """From the ledger, the most frequent first."""
    data: list[ErrorLine]
    """From the access log, the newest first."""
    has_log: bool
    """Whether the console can read an access log; if not, `data` is empty."""
