"""Which actor a request comes from, by what it carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from console.actors import Actor
from console.identity import sign_on, tokens
from console.identity.sessions import COOKIE, Sessions
from console.problems import ManageError
from tollhouse import contract
from tollhouse.policy.compiled import Snapshot

_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN = ("same-origin", "none")
_NOBODY = (
    "Send a management token as `Authorization: Bearer tlm_…`; `tollhouse tokens new` makes one."
)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request says of its sender; header names are lowercase."""

    method: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


class Identity:
    """Tells who asks. `allow_demo`: published tokens are accepted, as `tollhouse up` does."""

    def __init__(self, sessions: Sessions, *, allow_demo: bool) -> None:
        self.sessions = sessions
        self._allow_demo = allow_demo

    def actor(self, asking: Asking, snapshot: Snapshot, now: float) -> Actor:
        """Raises ManageError: invalid_token, token_expired, proxy_key_not_accepted,
        role_not_allowed, cross_site_request."""
        refuse_cross_site(asking)
        authorization = asking.headers.get("authorization", "")
        scheme, _, bearer = authorization.partition(" ")
        payload = asking.headers.get(contract.IDENTITY_HEADER)
        if bearer and scheme.lower() == "bearer":
            # Envoy takes a JWT away once it has verified it: what is still here is a token.
            return self.of_token(bearer.strip(), snapshot, now)
        management = snapshot.management
        if payload and management and management.sign_on:
            return sign_on.actor_of(payload, management.sign_on)
        return self._of_session(asking.cookies.get(COOKIE, ""), snapshot, now)

    def of_token(self, text: str, snapshot: Snapshot, now: float) -> Actor:
        """Whose token this is. Raises ManageError."""
        return tokens.by_text(snapshot, text, now, allow_demo=self._allow_demo)

    def _of_session(self, cookie: str, snapshot: Snapshot, now: float) -> Actor:
        sha256 = self.sessions.open(cookie, now) if cookie else None
        if sha256 is None:
            raise ManageError("invalid_token", f"Nobody is signed in. {_NOBODY}")
        return tokens.by_hash(snapshot, sha256, now, allow_demo=self._allow_demo)


def refuse_cross_site(asking: Asking) -> None:
    """Raises ManageError `cross_site_request`."""
    # A browser says where a request was begun; a page elsewhere must not use the session here.
    if asking.method in _SAFE:
        return
    site = asking.headers.get("sec-fetch-site")
    origin = asking.headers.get("origin")
    host = asking.headers.get("host", "")
    if (site and site not in _OWN) or (origin and _place(origin) != host):
        raise ManageError("cross_site_request", "A page of another site began this request.")


def _place(origin: str) -> str | None:
    """The host and port of an origin, None for what is no URL."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
