"""The kinds of values in policy files, each with its rule and what an editor is told of it."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from tollhouse.policy import price_rules, rules
from tollhouse.policy.compiled import (
    MetadataValue,
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
