"""A company's identity provider, on loopback: keys, sign-in page, token endpoint."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

AUDIENCE = "tollhouse"


class IdentityProvider:
    """`claims` are those of whoever signs in next; `url` is its issuer, without a slash."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.exchanged: list[dict[str, str]] = []

    def token(self, key: Any = None, **claims: Any) -> str:
        """A JWT as it would be issued now; `claims` replace or, if None, leave out."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "u1", "iat": now, "exp": now + 600}
        told = {name: value for name, value in {**whole, **claims}.items() if value is not None}
        return jwt.encode(told, key or self._key, algorithm="RS256", headers={"kid": "k1"})

    def jwks(self) -> dict[str, Any]:
        """What verifies its tokens."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": "k1", "alg": "RS256", "use": "sig"}]}

    def policy(self, roles: str) -> str:
        """The `sso` of a management.yaml; `roles` are lines of rules."""
        return (
            f"sso:\n  issuer: {self.url}\n  audiences: [{AUDIENCE}]\n  jwks: {self.url}/keys\n"
            f"  sign_in:\n    client_id: {AUDIENCE}\n"
            f"    authorization_endpoint: {self.url}/authorize\n"
            f"    token_endpoint: {self.url}/token\n  roles:\n{roles}"
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[IdentityProvider]:
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/keys":
                    self._json(provider.jwks())
                elif url.path == "/authorize":
                    self._signed_in({name: one[0] for name, one in parse_qs(url.query).items()})
                else:
                    self.send_error(404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                form = {name: one[0] for name, one in parse_qs(body).items()}
                provider.exchanged.append(form)
                begun = provider._codes.pop(form.get("code", ""), None)
                if begun is None:
                    self._json({"error": "invalid_grant"}, 400)
                    return
                self._json({"id_token": provider.token(nonce=begun["nonce"], **provider.claims)})

            def _signed_in(self, asked: dict[str, str]) -> None:
                code = f"code-{len(provider._codes)}-{time.monotonic_ns()}"
                provider._codes[code] = asked
                back = urlencode({"code": code, "state": asked["state"]})
                self.send_response(302)
                self.send_header("location", f"{asked['redirect_uri']}?{back}")
                self.end_headers()

            def _json(self, body: dict[str, Any], status: int = 200) -> None:
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                """Not to the test's output."""

        return Handler
