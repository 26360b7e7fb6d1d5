"""The policy files, field by field, as their authors write them.

Pydantic models of one file each; unknown fields are errors. What crosses files (does this alias
exist?) is the compiler's. Values arrive from YAML already typed: numbers with a point are
`Decimal`, so that no price passes through a float.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf

from tollhouse.policy import rules
from tollhouse.policy.compiled import (
    BudgetMode,
    Endpoint,
    MaxTokensField,
    MetadataValue,
    StreamUsage,
)

Name = Annotated[str, AfterValidator(rules.name)]
KeyId = Annotated[str, AfterValidator(rules.key_id)]
AliasName = Annotated[str, AfterValidator(rules.alias_name)]
Line = Annotated[str, AfterValidator(rules.line)]
Sha256 = Annotated[str, AfterValidator(rules.sha256)]
TimeZone = Annotated[str, AfterValidator(rules.time_zone)]
SecretReference = Annotated[str, AfterValidator(rules.secret_reference)]
HeaderName = Annotated[str, AfterValidator(rules.header_name)]
BaseUrl = Annotated[str, AfterValidator(rules.base_url)]
Expiry = Annotated[InstanceOf[date], BeforeValidator(rules.expiry)]
Seconds = Annotated[Decimal, BeforeValidator(rules.decimal)]
Usd = Annotated[Decimal, BeforeValidator(rules.usd)]
Metadata = Annotated[MetadataValue, BeforeValidator(rules.metadata_value)]
JsonText = Annotated[str, BeforeValidator(rules.json_text)]
ParameterName = Annotated[str, AfterValidator(rules.parameter_name)]

# Redis counts in Lua, whose numbers are doubles: integers are exact below 2**53, which is about
# 9 million USD in nano-dollars. Half of that leaves room for reservations beside settled spend.
SpendUsd = Annotated[Usd, Field(le=4_000_000)]
PriceUsd = Annotated[Usd, Field(le=10_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LimitsFile(Model):
    """`limits` at any level. Days, weeks (from Monday) and months are calendar ones in the org's
    time zone. `budget_mode` says what a running call reserves in the spend limits: its worst case,
    or what such calls cost of late."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    requests_per_day: Count | None = None
    tokens_per_day: Count | None = None
    max_parallel_requests: Count | None = None
    daily_spend_usd: SpendUsd | None = None
    weekly_spend_usd: SpendUsd | None = None
    monthly_spend_usd: SpendUsd | None = None
    budget_mode: BudgetMode = "hard"


class ShadowFile(Model):
    """Rules that are logged as `would_deny` and not enforced: what a level would say."""

    allowed_models: list[str] | None = None
    denied_models: list[str] = []


class RulesFile(Model):
    """What a level, or an environment of one, can say. It narrows what is above it."""

    blocked: bool = False
    limits: LimitsFile = LimitsFile()
    allowed_models: list[str] | None = None
    denied_models: list[str] = []
    shadow: ShadowFile | None = None


class OrgFile(Model):
    """`org.yaml`; every field is optional, and so is the file."""

    org: Name = "default"
    time_zone: TimeZone = "UTC"
    owner: Line | None = None
    limits: LimitsFile = LimitsFile()
    # All there are: once one is named here, each key has to be in one of them.
    environments: dict[Name, RulesFile] = {}
    on_store_outage: Literal["deny", "allow"] = "deny"
    on_lost_reservation: Literal["charge", "release"] = "charge"
    reservation_lease_seconds: Annotated[int, Field(ge=10, le=86_400)] = 900
    default_max_output_tokens: Tokens = 4096
    max_request_bytes: Annotated[int, Field(ge=1024, le=1_073_741_824)] = 33_554_432
    usage_retention_days: Annotated[int, Field(ge=1, le=3660)] = 400
    show_policy_version: bool = False


class ProviderFile(Model):
    """One upstream in `providers.yaml`."""

    dialect: Literal["openai"]
    allow_plain_http: bool = False  # before base_url, whose rule reads it
    base_url: BaseUrl
    api_key: SecretReference
    auth_header: HeaderName = "authorization"
    connect_timeout_seconds: Annotated[Seconds, Field(gt=0, le=60)] = Decimal(5)
    # A reasoning model is silent for minutes before an answer that is not streamed; OpenAI's SDKs
    # wait ten.
    idle_timeout_seconds: Annotated[Seconds, Field(gt=0, le=3600)] = Decimal(600)
    max_tokens_field: MaxTokensField = "max_completion_tokens"
    stream_usage: StreamUsage = "requested"


class ProvidersFile(Model):
    """`providers.yaml`."""

    providers: Annotated[dict[Name, ProviderFile], Field(min_length=1)]


class PriceFile(Model):
    """USD per million tokens. Cached input costs what input costs unless it is stated."""

    input_per_million: PriceUsd
    output_per_million: PriceUsd
    cached_input_per_million: PriceUsd | None = None


class ModelFile(Model):
    """One alias in `models.yaml`."""

    provider: Name
    model: Line
    description: Line | None = None
    endpoints: Annotated[list[Endpoint], Field(min_length=1)] = ["chat/completions"]
    limits: LimitsFile = LimitsFile()
    defaults: dict[ParameterName, JsonText] = {}
    max_output_tokens: Tokens | None = None
    # The most tokens one image can cost: OpenAI's vision guide counts gpt-4o-mini at 2833 tokens
    # plus 5667 for each of at most 8 tiles.
    max_tokens_per_media: Tokens = 2833 + 8 * 5667
    # What a provider adds to the prompt when tools are given; Anthropic's tool-use system prompts
    # are documented with up to 804 tokens.
    max_tokens_for_tools: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    # The model's context window: no prompt is charged more.
    max_input_tokens: Tokens | None = None
    price: PriceFile | None = None
    tags: list[Name] = []


class ModelsFile(Model):
    """`models.yaml`."""

    models: Annotated[dict[AliasName, ModelFile], Field(min_length=1)]
    # Names for several models, for `group:NAME` in the lists of teams.
    groups: dict[Name, Annotated[list[str], Field(min_length=1)]] = {}


class AccessFile(RulesFile):
    """What a team, a project and a key can each say."""

    # Of this level with one alias alone, beside those of the level as a whole.
    model_limits: dict[AliasName, LimitsFile] = {}


class PreviousFile(Model):
    """What a key was before its rotation: the same key, with the same limits, for a while."""

    sha256: Sha256
    valid_until: Expiry


class KeyFile(AccessFile):
    """One internal key of a project."""

    id: KeyId
    sha256: Sha256
    previous: Annotated[list[PreviousFile], Field(max_length=4)] = []
    env: Name | None = None
    expires: Expiry | None = None
    metadata: dict[Name, Metadata] = {}


class ProjectFile(AccessFile):
    """One project of a team."""

    environments: dict[Name, RulesFile] = {}
    keys: list[KeyFile] = []


class TeamFile(AccessFile):
    """One file under `teams/`."""

    team: Name
    owner: Line | None = None
    environments: dict[Name, RulesFile] = {}
    projects: dict[Name, ProjectFile] = {}


class KeysFile(Model):
    """One file under `keys/`: more keys of one project, where others than its team keep them."""

    team: Name
    project: Name
    keys: list[KeyFile] = []
