"""Signing in with a browser: OpenID Connect's authorization code flow, with PKCE (RFC 7636).

What the token endpoint answers over TLS is the company's word (OpenID Connect Core, 3.1.3.7); Envoy
verifies the ID token again with every request that its cookie comes with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography.fernet import Fernet, InvalidToken

from console.problems import ManageError
from console.secrets import SecretMissing, read_secret
from tollhouse.policy.management import SignInPage
from tollhouse.policy.secret import Secret

COOKIE = "tollhouse_sign_in"
SECONDS = 600
LARGEST_COOKIE = 3900
"""Bytes; browsers keep 4096 with the name and attributes (RFC 6265, section 6.1)."""

_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in on its way, kept sealed in the browser."""

    state: str
    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True, slots=True)
class SignedOn:
    """`id_token` is the JWT, `payload` its middle part."""

    id_token: str
    payload: str
    next: str


class CodeFlow:
    """`fernet` seals what is on its way. `read` finds the secret of a confidential client."""

    def __init__(self, fernet: Fernet, read: Callable[[Secret], str] = read_secret) -> None:
        self._fernet = fernet
        self._read = read

    def begin(self, page: SignInPage, redirect_uri: str, next_page: str) -> tuple[str, str]:
        """Where to send the browser, and the cookie that it is to bring back."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        begun = Begun(state, nonce, verifier, next_page)
        challenge = hashlib.sha256(begun.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": page.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(page.scopes),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        sealed = self._fernet.encrypt(json.dumps(asdict(begun)).encode()).decode()
        return f"{page.authorization_endpoint}?{urlencode(asked)}", sealed

    async def finish(
        self, page: SignInPage, redirect_uri: str, cookie: str, *, state: str, code: str
    ) -> SignedOn:
        """Exchange the code. Raises ManageError `invalid_token`."""
        begun = self._open(cookie)
        if begun is None or not secrets.compare_digest(begun.state.encode(), state.encode()):
            raise ManageError(
                "invalid_token", "This sign-in was not begun here, or too long ago. Sign in again."
            )
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": page.client_id,
            "code_verifier": begun.verifier,
        }
        token = await _exchanged(page, {**form, **self._secret(page)})
        payload = _payload(token)
        if payload.get("nonce") != begun.nonce:
            raise ManageError("invalid_token", "The identity provider answered another sign-in.")
        if len(token) > LARGEST_COOKIE:
            raise ManageError(
                "invalid_token",
                f"The ID token has {len(token):,} bytes, and a browser keeps {LARGEST_COOKIE:,}:"
                " let the identity provider put fewer groups into it.",
            )
        return SignedOn(token, token.split(".")[1], begun.next)

    def _open(self, cookie: str) -> Begun | None:
        try:
            return Begun(**json.loads(self._fernet.decrypt(cookie.encode(), SECONDS)))
        except (InvalidToken, TypeError, ValueError):
            return None

    def _secret(self, page: SignInPage) -> dict[str, str]:
        if page.client_secret is None:
            return {}
        try:
            return {"client_secret": self._read(page.client_secret)}
        except SecretMissing as error:
            raise ManageError("invalid_token", f"The client secret is missing: {error}.") from None


async def _exchanged(page: SignInPage, form: dict[str, str]) -> str:
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
            answer = await client.post(page.token_endpoint, data=form)
        found = answer.json()
        return str(found["id_token"])
    except httpx.HTTPError as error:
        reason = f"cannot be reached ({type(error).__name__})"
    except (KeyError, TypeError, ValueError):
        reason = f"gave no ID token (status {answer.status_code})"
    raise ManageError("invalid_token", f"The identity provider {reason}. Sign in again.")


def _payload(token: str) -> dict[str, Any]:
    parts = token.split(".")
    try:
        text = parts[1] + "=" * (-len(parts[1]) % 4)
        found = json.loads(base64.urlsafe_b64decode(text))
    except (IndexError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise ManageError("invalid_token", "The identity provider's ID token cannot be read.")
    return found
