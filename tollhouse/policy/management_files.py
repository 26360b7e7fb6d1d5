"""`management.yaml`, field by field: who may manage the policy, and who is told what it costs.

Without the file management is off.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tollhouse.policy import rules
from tollhouse.policy.field_types import (
    Expiry,
    KeyId,
    Line,
    Model,
    Name,
    SecretReference,
    Sha256,
    SpendUsd,
    number_schema,
    text_schema,
)
from tollhouse.policy.management import Role

Endpoint = Annotated[
    str,
    AfterValidator(rules.sign_on_url),
    text_schema(r"^https?://[^\s\"\\]+$", "https://login.example.com/oauth2/token"),
]
Jwks = Annotated[
    str,
    AfterValidator(rules.jwks),
    text_schema(r"^(https?://[^\s\"\\]+|file:/[^\x00-\x20]+)$", "https://login.example.com/keys"),
]
Percent = Annotated[int, Field(ge=1, le=1000)]
Times = Annotated[
    Decimal,
    BeforeValidator(rules.decimal),
    Field(gt=1, le=1000),
    number_schema(exclusiveMinimum=1, maximum=1000),
]


class TokenFile(Model):
    """One management token."""

    id: KeyId
    """The token's name in the audit log; unique. Required."""
    sha256: Sha256
    """SHA-256 of the token: 64 hex digits, as `tollhouse tokens new` prints them. Required."""
    role: Role
    """admin, platform, team-lead, viewer or auditor. Required."""
    teams: Annotated[list[Name], Field(min_length=1)] | None = None
    """Only for these teams; required for a team-lead, not for admin and auditor. Default: all."""
    expires: Expiry | None = None
    """A date (valid through its last second) or a time; default: never."""


class RoleRuleFile(Model):
    """Who gets which role by single sign-on."""

    claim: Line
    """The claim of the JWT that is looked at: groups, email. Required."""
    value: Line
    """What it must be, or, of a list, hold. Required."""
    role: Role
    """admin, platform, team-lead, viewer or auditor. Required."""
    teams: Annotated[list[Name], Field(min_length=1)] | None = None
    """Only for these teams; required for a team-lead, not for admin and auditor. Default: all."""


class SignInFile(Model):
    """The console's own sign-in: OpenID Connect's authorization code flow with PKCE."""

    client_id: Line
    """The console's client id at the company's identity provider. Required."""
    authorization_endpoint: Endpoint
    """Where a browser is sent to sign in. Required."""
    token_endpoint: Endpoint
    """Where the code is exchanged for an ID token. Required."""
    scopes: Annotated[list[Line], Field(min_length=1)] = Field(
        default=["openid", "profile", "email"]
    )
    """What is asked for; default openid, profile, email."""
    client_secret: SecretReference | None = None
    """Where the secret of a confidential client is: ${VARIABLE} or file:/absolute/path. Default: a
    public client."""


class SsoFile(Model):
    """Single sign-on: whose JWTs Envoy accepts, and what role they give."""

    issuer: Line
    """The `iss` of the company's JWTs, as it is written in them. Required."""
    audiences: Annotated[list[Line], Field(min_length=1)]
    """Accepted `aud` values, such as the console's client id. Required."""
    jwks: Jwks
    """Where the keys are that verify them: an https URL, or file:/absolute/path. Required."""
    identity_claim: Line = "email"
    """The claim that names a person in the audit log; default email."""
    roles: Annotated[list[RoleRuleFile], Field(min_length=1)]
    """The first that fits says the role; who fits none may do nothing. Required."""
    sign_in: SignInFile | None = None
    """Lets people sign in to the console in their browser. Default: only JWTs are accepted."""


class SpikeFile(Model):
    """When a team's day is told as unusual."""

    times: Times = Decimal(3)
    """How many times its usual day, the median of the two weeks before; default 3."""
    at_least_usd: SpendUsd = Decimal(10)
    """USD that the day must have cost; default 10."""


class AlertsFile(Model):
    """What is told to a webhook that takes what Slack's take."""

    webhook: SecretReference
    """Where its URL is, which is a secret: ${VARIABLE} or file:/absolute/path. Required."""
    budget_percent: Annotated[list[Percent], Field(min_length=1)] = Field(default=[50, 80, 100])
    """Told when so many percent of a budget are spent; default 50, 80, 100."""
    spike: SpikeFile = SpikeFile()
    """Days that cost far more than usual; default 3 times, and 10 USD."""


class ManagementFile(Model):
    """`management.yaml`. Without it there is no management API and no console."""

    tokens: list[TokenFile] = Field(default=[])
    """Management tokens; default none."""
    sso: SsoFile | None = None
    """Single sign-on; default none."""
    alerts: AlertsFile | None = None
    """Alerts to a webhook; default none."""
