"""What the payload of a verified JWT makes of a person. Pure.

Envoy verified signature, issuer, audience and expiry, and drops this header from clients; what is
read here was signed by the company's identity provider.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from console.actors import Actor
from console.problems import ManageError
from tollhouse.policy.management import RoleRule, SingleSignOn

_LONGEST_ID = 200


def actor_of(header: str, sign_on: SingleSignOn) -> Actor:
    """`header`: the payload in base64url, as Envoy forwards it.

    Raises ManageError: invalid_token where it names nobody, role_not_allowed where no rule fits.
    """
    claims = _claims(header)
    person = _person(claims, sign_on.identity_claim)
    rule = next((rule for rule in sign_on.rules if _fits(claims, rule)), None)
    if rule is None:
        raise ManageError(
            "role_not_allowed",
            f"{person} is signed in, and no rule under sso.roles in management.yaml gives them a"
            " role: ask whoever runs the gateway.",
        )
    return Actor(person, rule.role, rule.teams, "sso")


def _claims(header: str) -> Mapping[str, Any]:
    padded = header + "=" * (-len(header) % 4)
    try:
        found = json.loads(base64.urlsafe_b64decode(padded))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ManageError("invalid_token", "The payload of this JWT is not a JSON object.")
    return found


def _person(claims: Mapping[str, Any], claim: str) -> str:
    named = next((each for each in (claims.get(claim), claims.get("sub")) if each), None)
    if not isinstance(named, str) or not named.isprintable() or len(named) > _LONGEST_ID:
        raise ManageError(
            "invalid_token", f"This JWT names nobody: it has neither '{claim}' nor 'sub' as text."
        )
    return named


def _fits(claims: Mapping[str, Any], rule: RoleRule) -> bool:
    held = _claim(claims, rule.claim)
    return rule.value in held if isinstance(held, list) else held == rule.value


def _claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or inside others: Keycloak has realm_access.roles."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found
