"""Who may manage a policy over the API and the console: compiled from management.yaml. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tollhouse.policy.secret import Secret

Role = Literal["admin", "platform", "team-lead", "viewer", "auditor"]


@dataclass(frozen=True, slots=True)
class ManagementToken:
    """A token of a program or a person. `sha256` is 64 lowercase hex digits; the token itself is
    nowhere. `teams`: what its role is good for, None is all. `expires_at`: the first moment
    (seconds since the epoch) at which it is no longer valid. `is_demo`: published, and not accepted
    but under `tollhouse up`.
    """

    id: str
    sha256: str
    role: Role
    teams: frozenset[str] | None
    expires_at: float | None
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Whoever's `claim` is, or holds, `value` has this role, for these teams (None: all)."""

    claim: str
    value: str
    role: Role
    teams: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class SignInPage:
    """Where a browser signs in: OpenID Connect's authorization code flow with PKCE.

    `client_secret` is where the secret of a confidential client is; None: a public client.
    """

    client_id: str
    authorization_endpoint: str
    token_endpoint: str
    scopes: tuple[str, ...]
    client_secret: Secret | None


@dataclass(frozen=True, slots=True)
class SingleSignOn:
    """Whose JWTs are accepted; Envoy verifies them.

    `jwks` is an https URL or `file:/absolute/path`. `identity_claim` names the person in logs.
    The first of `rules` that fits says the role.
    """

    issuer: str
    audiences: tuple[str, ...]
    jwks: str
    identity_claim: str
    rules: tuple[RoleRule, ...]
    sign_in: SignInPage | None


@dataclass(frozen=True, slots=True)
class Alerts:
    """`webhook` is where its URL is. `budget_percent`: at which parts of a budget to tell. A spike
    is a team's day that costs `spike_times` its usual day, and `spike_at_least` nano-dollars."""

    webhook: Secret
    budget_percent: tuple[int, ...]
    spike_times: float
    spike_at_least: int


@dataclass(frozen=True, slots=True)
class Management:
    """All of management.yaml; tokens are by id."""

    tokens: Mapping[str, ManagementToken]
    sign_on: SingleSignOn | None
    alerts: Alerts | None
