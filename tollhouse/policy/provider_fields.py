"""The kinds of values that only a provider in `providers.yaml` has: headers, places, counts.

Rules as in `rules`: each returns its value, tidied, or refuses it without repeating it.
"""

import re
from decimal import Decimal
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from tollhouse.policy import rules

# No header can be both: what holds one provider's secret never passes to another.
_CREDENTIAL = re.compile(
    r"(.*-)?(auth|authorization|apikey|keys?|tokens?|secrets?|passwords?|credentials?|cookie)"
)
# What Envoy writes itself, or what would steer the gateway or the connection.
_OURS = re.compile(
    r"host|connection|keep-alive|te|trailer|upgrade|expect|via|forwarded|date|content-.*"
    r"|transfer-encoding|accept-encoding|proxy-.*|x-forwarded-.*|x-request-id|x-tollhouse-.*"
    r"|x-envoy-.*|user-agent|accept|traceparent|tracestate|idempotency-key|x-stainless-.*"
)
_VALUE = re.compile(r"[!-~]([ -~]{0,510}[!-~])?")
_SECRETIVE = re.compile(rf"{'|'.join(rules.KEY_PREFIXES)}|[Bb]earer |[Bb]asic ")
_PREFIX = re.compile(r"[ -~]{0,64}")
_PATH = re.compile(r"/[^\x00-\x20]+")
_SERVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("policy", message)


def _credential_header(value: str, info: ValidationInfo) -> str:
    """Where the secret goes."""
    name = rules.header_name(value)
    _needs_key(info)
    if _OURS.fullmatch(name):
        _refuse("is a header that the gateway writes itself: the secret needs one of its own")
    if not _CREDENTIAL.fullmatch(name):
        _refuse("must be named as credentials are, such as authorization, x-api-key or api-token")
    return name


def _plain_header(value: str) -> str:
    """A header that holds no secret and that nothing else sets."""
    name = rules.header_name(value)
    if _CREDENTIAL.fullmatch(name):
        _refuse("carries a credential: name it in 'auth_header', and where it is in 'api_key'")
    if _OURS.fullmatch(name):
        _refuse("is a header that the gateway sends or withholds by itself")
    return name


def _header_value(value: str) -> str:
    if not _VALUE.fullmatch(value):
        _refuse("must be 1 to 512 visible ASCII characters, with spaces only between them")
    if _SECRETIVE.match(value):
        _refuse("looks like a secret, and policies hold none: 'api_key' says where it is")
    return value


def _each_once(headers: object) -> object:
    if isinstance(headers, dict):
        names = [name.lower() for name in headers if isinstance(name, str)]
        if len(names) != len(set(names)):
            _refuse("names a header twice: case makes no difference")
    return headers


def _auth_prefix(value: str, info: ValidationInfo) -> str:
    _needs_key(info)
    if not _PREFIX.fullmatch(value):
        _refuse("must be at most 64 printable ASCII characters, such as 'Bearer '")
    return value


def _needs_key(info: ValidationInfo) -> None:
    # A key that is itself refused is not in the data.
    if info.data.get("api_key", "") is None:
        _refuse("says how 'api_key' is sent, which is not there")


def _needs_tls(info: ValidationInfo) -> None:
    if info.data.get("base_url", "").startswith("http:"):
        _refuse("is about TLS, and 'base_url' begins with http://")


def _ca_file(value: str, info: ValidationInfo) -> str:
    _needs_tls(info)
    if not _PATH.fullmatch(value):
        _refuse("must be an absolute path, as Envoy sees it")
    return value


def _server_name(value: str, info: ValidationInfo) -> str:
    _needs_tls(info)
    if not _SERVER.fullmatch(value):
        _refuse("must be a host name, as in the provider's certificate")
    return value


def _provider_name(value: str) -> str:
    """`.pool` ends the name of a second cluster (tollhouse.rendering.clusters)."""
    if value.endswith(".pool"):
        _refuse("cannot end in '.pool', which the gateway adds itself")
    return rules.name(value)


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


_HEADER_PATTERN = "[A-Za-z0-9][A-Za-z0-9-]{0,63}"
ProviderName = Annotated[
    str,
    AfterValidator(_provider_name),
    _text(r"(?!.*\.pool$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}", "openai"),
]
CredentialHeader = Annotated[
    str,
    AfterValidator(_credential_header),
    _text(f"(?!({_OURS.pattern})$){_HEADER_PATTERN}", "authorization", "x-api-key"),
]
PlainHeader = Annotated[
    str,
    AfterValidator(_plain_header),
    _text(f"(?!({_CREDENTIAL.pattern}|{_OURS.pattern})$){_HEADER_PATTERN}", "anthropic-beta"),
]
_HeaderValue = Annotated[
    str,
    AfterValidator(_header_value),
    _text(f"(?!{_SECRETIVE.pattern}){_VALUE.pattern}", "https://acme.example"),
]
Headers = Annotated[
    dict[PlainHeader, _HeaderValue], Field(max_length=32), BeforeValidator(_each_once)
]
AuthPrefix = Annotated[str, AfterValidator(_auth_prefix), _text(_PREFIX.pattern, "Bearer ")]
CaFile = Annotated[str, AfterValidator(_ca_file), _text(_PATH.pattern, "/etc/tollhouse/ca.crt")]
ServerName = Annotated[
    str, AfterValidator(_server_name), _text(_SERVER.pattern, "llm.internal.example")
]
Connections = Annotated[int, Field(ge=1, le=1_000_000)]
CooldownSeconds = Annotated[
    Decimal,
    BeforeValidator(rules.decimal),
    Field(ge=0, le=3600),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 3600}),
]
