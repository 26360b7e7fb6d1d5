"""The policy files, field by field, as their authors write them.

Pydantic models of one file each; unknown fields are errors. What crosses files (does this alias
exist?) is the compiler's. Values arrive from YAML already typed: numbers with a point are
`Decimal`, so that no price passes through a float.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tollhouse.endpoints import Dialect, Endpoint
from tollhouse.policy import price_rules, rules
from tollhouse.policy.compiled import (
    BudgetMode,
    MaxTokensField,
    MetadataValue,
    StreamUsage,
)
from tollhouse.policy.provider_fields import (
    AuthPrefix,
    CaFile,
    Connections,
    CooldownSeconds,
    CredentialHeader,
    Headers,
    PlainHeader,
    ProviderName,
    ServerName,
)

_NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
_MOST_METADATA = 64
# Written by a block (tollhouse.keyring.actions), beside the others: no key is too full for one.
_MARKS = frozenset({"blocked_reason", "blocked_by"})
_KEY_ID = f"^(?!tlh_|tlm_|sk-){_NAME[1:]}"
_DATE = "^2[0-9]{3}-[0-9]{1,2}-[0-9]{1,2}([Tt]|[ \\t]+|$)"


def text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    """What an editor knows of a text: a pattern that is never narrower than the rule."""
    shown = {"examples": list(examples)} if examples else {}
    return WithJsonSchema({"type": "string", "pattern": pattern, **shown})


def number_schema(**bounds: object) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", **bounds})


def _few_names(metadata: dict[str, object]) -> dict[str, object]:
    if len(metadata.keys() - _MARKS) > _MOST_METADATA:
        message = f"has too many names: write at most {_MOST_METADATA}, beside those of a block"
        raise PydanticCustomError("policy", message)
    return metadata


Name = Annotated[str, AfterValidator(rules.name), text_schema(_NAME)]
KeyId = Annotated[
    str,
    AfterValidator(rules.key_id),
    text_schema(_KEY_ID, "website-prod-1"),
]
AliasName = Annotated[
    str,
    AfterValidator(rules.alias_name),
    text_schema("^(?!tag:|group:)[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}$"),
]
Line = Annotated[
    str,
    AfterValidator(rules.line),
    text_schema(r"^\s*\S([^\r\n\t]{0,198}\S)?\s*$"),
]
Selector = Annotated[
    str,
    WithJsonSchema({"type": "string", "examples": ["gpt4_*", "tag:cheap", "group:chat", "*"]}),
]
Sha256 = Annotated[str, AfterValidator(rules.sha256), text_schema("^[0-9a-f]{64}$")]
TimeZone = Annotated[
    str,
    AfterValidator(rules.time_zone),
    text_schema("^[A-Za-z0-9_+/-]+$", "UTC", "Europe/Berlin", "America/New_York"),
]
SecretReference = Annotated[
    str,
    AfterValidator(rules.secret_reference),
    text_schema(r"^(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:/[^\x00-\x20]+)$", "${OPENAI_API_KEY}"),
]
BaseUrl = Annotated[
    str,
    AfterValidator(rules.base_url),
    text_schema(
        r"^https?://([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?"
        r"(/[A-Za-z0-9._~-]+)*/*$",
        "https://api.openai.com/v1",
    ),
]
# YAML reads an unquoted date as a date; editors take it for the text it is written as.
Expiry = Annotated[
    InstanceOf[date],
    BeforeValidator(rules.expiry),
    text_schema(_DATE, "2027-06-30", "2027-06-30T18:00:00Z"),
]
ConnectSeconds = Annotated[
    Decimal,
    BeforeValidator(rules.decimal),
    Field(gt=0, le=60),
    number_schema(exclusiveMinimum=0, maximum=60),
]
IdleSeconds = Annotated[
    Decimal,
    BeforeValidator(rules.decimal),
    Field(gt=0, le=3600),
    number_schema(exclusiveMinimum=0, maximum=3600),
]
Metadata = Annotated[
    MetadataValue,
    BeforeValidator(rules.metadata_value),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
JsonText = Annotated[
    str,
    BeforeValidator(rules.json_text),
    WithJsonSchema({"type": ["string", "number", "boolean", "array", "object"]}),
]
ParameterName = Annotated[
    str, AfterValidator(rules.parameter_name), text_schema(f"^{rules.PARAMETER_PATTERN}$")
]

# Redis counts in Lua, whose numbers are doubles: integers are exact below 2**53, which is about
# 9 million USD in nano-dollars. Half of that leaves room for reservations beside settled spend.
SpendUsd = Annotated[
    Decimal,
    BeforeValidator(rules.usd),
    Field(le=4_000_000),
    number_schema(minimum=0, maximum=4_000_000),
]
_PRICE_SCHEMA = {"type": "number", "minimum": 0, "maximum": price_rules.DEAREST}
PriceUsd = Annotated[
    Decimal,
    BeforeValidator(rules.usd),
    Field(le=price_rules.DEAREST),
    WithJsonSchema(_PRICE_SCHEMA),
]
TierName = Annotated[
    str,
    AfterValidator(price_rules.tier_name),
    text_schema(price_rules.TIER_PATTERN, "flex", "priority"),
]
ImagePrices = Annotated[
    dict[Annotated[str, AfterValidator(price_rules.image_variant)], PriceUsd],
    BeforeValidator(price_rules.image_prices),
    AfterValidator(price_rules.dearest_default),
    WithJsonSchema(
        {
            "anyOf": [
                _PRICE_SCHEMA,
                {
                    "type": "object",
                    "additionalProperties": _PRICE_SCHEMA,
                    "required": ["default"],
                },
            ]
        }
    ),
]
KeyMetadata = Annotated[
    dict[Name, Metadata],
    AfterValidator(_few_names),
    Field(json_schema_extra={"maxProperties": _MOST_METADATA + len(_MARKS)}),
]
Count = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
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


class ProviderFile(Model):
    """One upstream in `providers.yaml`."""

    dialect: Dialect
    """The API that it speaks: openai, or anthropic (its own Messages API). Required."""
    allow_plain_http: bool = False  # before base_url, whose rule reads it
    """Accept http:// off loopback: the secret then travels in the clear. Default false."""
    base_url: BaseUrl
    """https://… up to and with /v1; http:// only on loopback. Required."""
    api_key: SecretReference | None = None
    """Where its secret is, never the secret: ${VARIABLE} or file:/absolute/path. Default: it asks
    for none."""
    auth_header: CredentialHeader | None = None
    """Header for the secret; default authorization, x-api-key for the dialect anthropic."""
    auth_prefix: AuthPrefix | None = None
    """What goes before the secret; default `Bearer ` in authorization, nothing elsewhere."""
    headers: Headers = {}
    """Headers that are sent with every call, by name, at most 32; no secrets. Default: none, and
    anthropic-version for the dialect anthropic."""
    forward_headers: Annotated[list[PlainHeader], Field(max_length=32)] = []
    """The caller's headers that may pass to it, where others may not, at most 32; default none."""
    ca_file: CaFile | None = None
    """Absolute path, where Envoy runs, of the CA that its certificate comes from; default: the
    system's."""
    server_name: ServerName | None = None
    """The name that its certificate must have, also sent as SNI; default: the host."""
    max_connections: Connections | None = None
    """Connections that one Envoy holds to it; default: no bound."""
    max_pending_requests: Connections | None = None
    """Calls that wait in one Envoy for a connection; more are answered 503. Default: no bound."""
    connect_timeout_seconds: ConnectSeconds = Decimal(5)
    """Seconds to connect; default 5, at most 60."""
    # A reasoning model is silent for minutes before an answer that is not streamed; OpenAI's SDKs
    # wait ten.
    idle_timeout_seconds: IdleSeconds = Decimal(600)
    """Longest time without a byte from the provider, in seconds; default 600, at most 3600."""
    cooldown_seconds: CooldownSeconds = Decimal(10)
    """Seconds for which an alias with other deployments passes it over once it fails; default 10,
    0: never."""
    cooldown_after: Annotated[int, Field(ge=1, le=1000)] = 5
    """Failures in a row (429, 5xx, no connection) that begin a cooldown; default 5."""
    max_tokens_field: MaxTokensField = "max_completion_tokens"
    """How its chat endpoint calls the output limit; default max_completion_tokens."""
    stream_usage: StreamUsage = "requested"
    """Usage of streams comes when asked for (requested, default) or unasked (always)."""


class ProvidersFile(Model):
    """`providers.yaml`."""

    providers: Annotated[dict[ProviderName, ProviderFile], Field(min_length=1)]
    """Providers by name; at least one."""


class RatesFile(Model):
    """USD per million tokens of each kind."""

    input_per_million: PriceUsd | None = None
    """USD per million input tokens. Required, as is output, unless other units are charged."""
    output_per_million: PriceUsd | None = None
    """USD per million output tokens, reasoning included. Required as input is."""
    cached_input_per_million: PriceUsd | None = None
    """USD per million input tokens read from a prompt cache; default: what input costs."""
    cache_write_per_million: PriceUsd | None = None
    """USD per million input tokens written to a prompt cache; default: what input costs."""
    cache_write_1h_per_million: PriceUsd | None = None
    """The same where they are to be kept for an hour; default: what other cache writes cost."""
    input_audio_per_million: PriceUsd | None = None
    """USD per million tokens of sound sent; default: what input costs."""
    output_audio_per_million: PriceUsd | None = None
    """USD per million tokens of sound made; default: what output costs."""
    input_image_per_million: PriceUsd | None = None
    """USD per million tokens of pictures sent; default: what input costs."""
    output_image_per_million: PriceUsd | None = None
    """USD per million tokens of pictures made; default: what output costs."""


class StepFile(RatesFile):
    """Rates of a whole call that has a long input."""

    above_input_tokens: Tokens
    """The whole call costs these rates once its input has more tokens than this. Required."""


class TierFile(RatesFile):
    """Rates of one service tier, or the usual ones."""

    long_context: Annotated[
        list[StepFile], AfterValidator(price_rules.rising), Field(max_length=8)
    ] = []
    """Rates of calls with a long input; what a step does not state costs as usual. Default none."""


class PriceFile(TierFile):
    """What is charged for a call, in USD: the sum of all that is stated."""

    service_tiers: dict[TierName, TierFile] = {}
    """Rates of service tiers, by the name that the provider says it used; what a tier does not
    state costs as usual. Default none."""
    per_image: ImagePrices | None = None
    """USD per image made: a number, or by "QUALITY SIZE" with a `default` that is the dearest."""
    per_minute: PriceUsd | None = None
    """USD per minute of sound listened to; default none."""
    per_hour: PriceUsd | None = None
    """The same per hour, for prices that are not a whole number of nano-dollars per minute."""
    minimum_audio_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds of sound that a call with any is charged at least; default 0."""
    per_million_characters: PriceUsd | None = None
    """USD per million characters spoken; default none."""
    per_thousand_searches: PriceUsd | None = None
    """USD per thousand search units of rerank; default none."""
    per_request: PriceUsd | None = None
    """USD per call; default none."""

    @model_validator(mode="after")
    def _says_what_is_charged(self) -> Self:
        price_rules.charged(self.model_dump(exclude_unset=True, exclude_none=True))
        return self


class DeploymentFile(Model):
    """One provider's model behind an alias."""

    provider: Name
    """A name from providers.yaml. Required."""
    model: Line
    """The provider's name for the model. Required."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Its share of the calls among those of the same order; default 1."""
    order: Annotated[int, Field(ge=1, le=100)] = 1
    """The lowest is asked first, higher ones when all lower ones fail; default 1."""
    price: PriceFile | None = None
    """What it costs; default: the model's price, else the public price list."""


class ModelFile(Model):
    """One alias in `models.yaml`."""

    # What `deployments.problems_of` asks of it, as far as editors can tell.
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["deployments"]},
                {"required": ["provider", "model"]},
                {"required": ["provider", "endpoints"]},
            ]
        }
    )

    provider: Name | None = None
    """A name from providers.yaml. Required, unless deployments are given."""
    model: Line | None = None
    """The provider's name for the model. Required beside provider."""
    deployments: Annotated[list[DeploymentFile], Field(min_length=1, max_length=8)] | None = None
    """Several providers' models behind this name, in place of provider and model; at most 8."""
    fallbacks: Annotated[list[AliasName], Field(max_length=4)] = []
    """Other aliases, asked in this order when all deployments fail; default none."""
    fallback_after_seconds: IdleSeconds | None = None
    """Seconds of silence after which the next deployment is asked; default: the provider's
    idle_timeout_seconds."""
    description: Line | None = None
    """One line for people; default none."""
    endpoints: Annotated[list[Endpoint], Field(min_length=1)] | None = None
    """Which endpoints it serves; default: chat/completions where a provider of dialect openai
    stands behind it, messages where one of dialect anthropic does."""
    limits: LimitsFile = LimitsFile()
    """For the alias, all teams together; default none."""
    defaults: dict[ParameterName, JsonText] = {}
    """Parameters to set where the caller sets nothing; default none."""
    max_output_tokens: Tokens | None = None
    """Output tokens: sent when the caller gives none; clamps what is larger. Default: the org's
    default is sent, nothing is clamped."""
    # The most tokens one image can cost: OpenAI's vision guide counts gpt-4o-mini at 2833 tokens
    # plus 5667 for each of at most 8 tiles.
    max_tokens_per_media: Tokens = 2833 + 8 * 5667
    """Tokens that bound one image, file or sound in reservations; default 48169."""
    # What a provider adds to the prompt when tools are given; Anthropic's tool-use system prompts
    # are documented with up to 804 tokens.
    max_tokens_for_tools: Annotated[int, Field(ge=0, le=1_000_000)] = 1024
    """Tokens a provider adds to the prompt when tools are given; default 1024."""
    # The model's context window: no prompt is charged more.
    max_input_tokens: Tokens | None = None
    """The context window in tokens: the most input a chat call is charged. Default: unknown."""
    price: PriceFile | None = None
    """USD per million tokens; default: the public price list."""
    tags: list[Name] = []
    """Names for `tag:NAME` in the lists of teams; default none."""


class ModelsFile(Model):
    """`models.yaml`."""

    models: Annotated[dict[AliasName, ModelFile], Field(min_length=1)]
    """Aliases by name; at least one."""
    # Names for several models, for `group:NAME` in the lists of teams.
    groups: dict[Name, Annotated[list[Selector], Field(min_length=1)]] = {}
    """Names for several models: aliases, tag:NAME, patterns. Default: none."""


class AccessFile(RulesFile):
    """What a team, a project and a key can each say."""

    # Of this level with one alias alone, beside those of the level as a whole.
    model_limits: dict[AliasName, LimitsFile] = {}
    """Limits for one alias alone, by alias, beside those of the level. Default: none."""


class PreviousFile(Model):
    """What a key was before its rotation: the same key, with the same limits, for a while."""

    sha256: Sha256
    """SHA-256 of the key that was replaced: 64 lowercase hex digits. Required."""
    valid_until: Expiry
    """Until when it is still accepted: a date (through its last second) or a time. Required."""


class KeyFile(AccessFile):
    """One internal key of a project."""

    id: KeyId
    """The key's name in logs; unique. Required."""
    sha256: Sha256
    """SHA-256 of the key: 64 hex digits, as `tollhouse keys new` prints them. Required."""
    previous: Annotated[list[PreviousFile], Field(max_length=4)] = []
    """What the key was before rotations, at most 4; default none."""
    env: Name | None = None
    """Its environment; required where org.yaml names any, else a word for logs. Default: none."""
    expires: Expiry | None = None
    """A date (valid through its last second) or a time; default: never."""
    metadata: KeyMetadata = {}
    """Text, numbers or booleans by name, for logs, at most 64; default none."""


class ProjectFile(AccessFile):
    """One project of a team."""

    environments: dict[Name, RulesFile] = {}
    """What holds here for keys of one environment, by its name; default none."""
    keys: list[KeyFile] = []
    """The project's keys; default none."""


class TeamFile(AccessFile):
    """One file under `teams/`."""

    team: Name
    """The team's name; unique. Required."""
    owner: Line | None = None
    """Whom its members ask, named in refusals; default: the org's owner."""
    environments: dict[Name, RulesFile] = {}
    """What holds here for keys of one environment, by its name; default none."""
    projects: dict[Name, ProjectFile] = {}
    """Projects by name; default none."""


class KeysFile(Model):
    """One file under `keys/`: more keys of one project, where others than its team keep them."""

    team: Name
    """A team that has a file under teams/. Required."""
    project: Name
    """A project of that team. Required."""
    keys: list[KeyFile] = []
    """More keys of that project; default none."""
