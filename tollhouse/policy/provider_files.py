"""`providers.yaml`, field by field."""

from decimal import Decimal
from typing import Annotated

from pydantic import (
    Field,
)

from tollhouse.endpoints import Dialect
from tollhouse.policy.compiled import (
    MaxTokensField,
    StreamUsage,
)
from tollhouse.policy.field_types import (
    BaseUrl,
    ConnectSeconds,
    IdleSeconds,
    Model,
    SecretReference,
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
