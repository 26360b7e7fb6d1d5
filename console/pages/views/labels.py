"""What the pages call the fields of the API, and refusals in these words. Pure."""

from __future__ import annotations

import re
from typing import Final

from console.problems import ManageError

LIMITS: Final = {
    "requests_per_minute": "Requests a minute",
    "tokens_per_minute": "Tokens a minute",
    "requests_per_day": "Requests a day",
    "tokens_per_day": "Tokens a day",
    "max_parallel_requests": "Calls at once",
    "daily_spend_usd": "USD a day",
    "weekly_spend_usd": "USD a week",
    "monthly_spend_usd": "USD a month",
}
LABELS: Final = {
    "team": "Team",
    "project": "Project",
    "env": "Environment",
    "id": "Id",
    "metadata.owner": "Owner",
    "allowed_models": "Models",
    "expires": "Ends",
    "reason": "Reason",
    "overlap": "How long the key before it stays valid",
    "alias": "Name",
    "provider": "Provider",
    "model": "The provider\N{RIGHT SINGLE QUOTATION MARK}s name for it",
    "description": "Description",
    "tags": "Tags",
    "endpoints": "Called at",
    "max_output_tokens": "Most output tokens",
    "max_input_tokens": "Context window",
    "price.input_per_million": "Input price",
    "price.output_per_million": "Output price",
    "price.cached_input_per_million": "Cached input price",
    "role": "Role",
    "teams": "Teams",
    **{f"limits.{field}": label for field, label in LIMITS.items()},
}
"""By what refusals have as `param`."""

_INDEX: Final = re.compile(r"(\.\d+)+$")


def in_words(error: ManageError) -> ManageError:
    """A refusal that names its field as the form does."""
    param = error.param or ""
    label = LABELS.get(_INDEX.sub("", param))
    if label is None:
        return error
    message = error.message.replace(f"the field '{param}'", label).replace(f"'{param}'", label)
    # Of a limit that a level narrows, the field is the first word.
    field = param.rpartition(".")[2]
    if field in LIMITS and message.startswith(f"{field} "):
        message = label + message[len(field) :]
    return ManageError(error.code, message, error.param, error.details)
