"""`models.yaml`, field by field: aliases, what stands behind them, and what that costs."""

from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    model_validator,
)

from tollhouse.endpoints import Endpoint
from tollhouse.policy import price_rules
from tollhouse.policy.field_types import (
    AliasName,
    IdleSeconds,
    ImagePrices,
    JsonText,
    Line,
    Model,
    Name,
    ParameterName,
    PriceUsd,
    Selector,
    TierName,
    Tokens,
)
from tollhouse.policy.files import LimitsFile


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
