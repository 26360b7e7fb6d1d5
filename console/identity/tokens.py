"""A bearer token, looked up in the policy. Pure."""

from __future__ import annotations

from console.actors import Actor
from console.problems import ManageError
from tollhouse import keys
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.management import ManagementToken

_ASK = "Send a management token as `Authorization: Bearer tlm_…`; `tollhouse tokens new` makes one."


def by_hash(snapshot: Snapshot, sha256: str, now: float, *, allow_demo: bool) -> Actor:
    """Whose token has this SHA-256. `now` is seconds since the epoch.

    Raises ManageError: invalid_token, token_expired.
    """
    found = _find(snapshot, sha256)
    if found is None or (found.is_demo and not allow_demo):
        raise ManageError("invalid_token", f"This management token is not known. {_ASK}")
    if found.expires_at is not None and found.expires_at <= now:
        raise ManageError("token_expired", f"The management token {found.id} has expired. {_ASK}")
    return Actor(found.id, found.role, found.teams, "token")


def by_text(snapshot: Snapshot, text: str, now: float, *, allow_demo: bool) -> Actor:
    """Whose token this is. Raises ManageError: also proxy_key_not_accepted, and invalid_token for a
    JWT, which Envoy would have verified."""
    sha256 = keys.sha256_hex(text)
    if text.startswith(keys.PREFIX) or sha256 in snapshot.keys_by_hash:
        raise ManageError(
            "proxy_key_not_accepted",
            f"This is a key for calling models: it manages nothing. {_ASK}",
        )
    if text.count(".") == 2:
        raise ManageError("invalid_token", _of_jwt(snapshot))
    if text.startswith(keys.MANAGEMENT_PREFIX) and not _looks_valid(text):
        raise ManageError("invalid_token", f"This management token is mistyped. {_ASK}")
    return by_hash(snapshot, sha256, now, allow_demo=allow_demo)


def _looks_valid(text: str) -> bool:
    body = text.removeprefix(keys.MANAGEMENT_PREFIX)[:-6]
    return keys.with_checksum(body, keys.MANAGEMENT_PREFIX) == text


def _find(snapshot: Snapshot, sha256: str) -> ManagementToken | None:
    tokens = snapshot.management.tokens.values() if snapshot.management else ()
    return next((token for token in tokens if token.sha256 == sha256), None)


def _of_jwt(snapshot: Snapshot) -> str:
    sign_on = snapshot.management.sign_on if snapshot.management else None
    if sign_on is None:
        return "This is a JWT, and the policy has no single sign-on (sso in management.yaml)."
    audiences = ", ".join(sign_on.audiences)
    return (
        f"This JWT could not be verified: it must be from {sign_on.issuer}, for {audiences}, signed"
        " by one of its present keys, and not expired. Sign in again."
    )
