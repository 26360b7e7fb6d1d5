"""The policy files, field by field, as their authors write them: limits, rules, and org.yaml.

Pydantic models of one file each; unknown fields are errors. What crosses files (does this alias
exist?) is the compiler's. Values arrive from YAML already typed: numbers with a point are
`Decimal`, so that no price passes through a float. Beside this: provider_files, model_files,
team_files, management_files.
"""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from tollhouse.policy.compiled import (
    BudgetMode,
)
from tollhouse.policy.field_types import (
    Count,
    Line,
    Model,
    Name,
    Selector,
    SpendUsd,
    TimeZone,
    Tokens,
)


class LimitsFile(Model):
    """`limits` at any level. Days, weeks (from Monday) and months are calendar ones in the org's
    time zone. `budget_mode` says what a running call reserves in the spend limits: its worst case,
    or what such calls cost of late."""

    requests_per_minute: Count | None = None
    """Calls in any 60 seconds; no limit by default."""
    tokens_per_minute: Count | None = None
    """Input and output tokens in any 60 seconds; no limit by default."""
    requests_per_day: Count | None = None
    """Calls per calendar day; no limit by default."""
    tokens_per_day: Count | None = None
    """Input and output tokens per calendar day; no limit by default."""
    max_parallel_requests: Count | None = None
    """Calls that run at once; no limit by default."""
    daily_spend_usd: SpendUsd | None = None
    """USD per calendar day; no limit by default."""
    weekly_spend_usd: SpendUsd | None = None
    """USD per calendar week, from Monday; no limit by default."""
    monthly_spend_usd: SpendUsd | None = None
    """USD per calendar month; no limit by default."""
    budget_mode: BudgetMode = "hard"
    """What a running call reserves in spend limits: hard (default), its worst case; soft, what such
    calls cost of late."""


class ShadowFile(Model):
    """Rules that are logged as `would_deny` and not enforced: what a level would say."""

    allowed_models: list[Selector] | None = None
    """What would be allowed: names, tag:NAME, group:NAME, patterns. Default: no opinion."""
    denied_models: list[Selector] = []
    """What would be denied, in the same words; beats any allow. Default: none."""


class RulesFile(Model):
    """What a level, or an environment of one, can say. It narrows what is above it."""

    blocked: bool = False
    """True refuses every call below; default false."""
    limits: LimitsFile = LimitsFile()
    """Limits that count all calls of this level together; default none."""
    allowed_models: list[Selector] | None = None
    """Aliases that may be called: names, tag:NAME, group:NAME, patterns such as gpt4_*. Default:
    this level does not narrow. If no level says any, nothing is allowed."""
    denied_models: list[Selector] = []
    """Aliases that may not be called, in the same words; beats any allow. Default: none."""
    shadow: ShadowFile | None = None
    """Rules that are logged as would_deny and not enforced; default none."""


class OrgFile(Model):
    """`org.yaml`; every field is optional, and so is the file."""

    org: Name = "default"
    """The org's name in logs and refusals; default `default`."""
    time_zone: TimeZone = "UTC"
    """IANA zone in which days, weeks, months and expiry days begin; default UTC."""
    owner: Line | None = None
    """Whom to ask, named in refusals; also for teams that name nobody. Default: none."""
    limits: LimitsFile = LimitsFile()
    """For all calls together; default none."""
    # All there are: once one is named here, each key has to be in one of them.
    environments: dict[Name, RulesFile] = {}
    """Environments by name. Once there are any, each key is in one. Default: none."""
    on_store_outage: Literal["deny", "allow"] = "deny"
    """deny (default) or allow calls while the ledger cannot be reached."""
    on_lost_reservation: Literal["charge", "release"] = "charge"
    """charge (default) or release what a vanished call had reserved."""
    reservation_lease_seconds: Annotated[int, Field(ge=10, le=86_400)] = 900
    """Seconds after which a call that did not report back has vanished; default 900."""
    default_max_output_tokens: Tokens = 4096
    """Output tokens for models that state no max_output_tokens; default 4096."""
    max_request_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 33_554_432
    """Bytes; larger bodies are refused. Default 33554432. Waits for a restart of Envoy."""
    usage_retention_days: Annotated[int, Field(ge=1, le=3660)] = 400
    """Days for which the usage of a day is kept; default 400."""
    show_provider_model: bool = False
    """Leave the provider's model name in answers, in place of the alias; default false."""
    show_policy_version: bool = False
    """Say the policy's version in the header x-tollhouse-policy of answers; default false."""
