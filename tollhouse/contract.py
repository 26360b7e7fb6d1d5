"""The names that Envoy's filters and our services share: metadata namespaces, headers, endpoints.

One reading of a request travels as Envoy dynamic metadata:

- `tollhouse.large`, written by `envoy/lua/large.lua`: the body may be large, is the key known?
- `tollhouse.request`, written by `envoy/lua/request.lua`: what the body asks for;
- `envoy.filters.http.ext_authz`, written by authz_service: who asks, and what they were granted;
- `envoy.filters.http.ratelimit`, written by ratelimit_service: the reservation;
- `tollhouse.attempt`, written by `envoy/lua/rewrite.lua`: which deployment is being asked;
- `tollhouse.caller`, written by `envoy/lua/failure.lua`: that an Anthropic client asks, for errors;
- `tollhouse.response`, written by `envoy/lua/response.lua`: what the provider reported.

Every value in `tollhouse.request` is a string; a rate-limit descriptor takes one of them.
"""

from __future__ import annotations

from typing import Final

LARGE: Final = "tollhouse.large"
REQUEST: Final = "tollhouse.request"
GRANT: Final = "envoy.filters.http.ext_authz"
RESERVATION: Final = "envoy.filters.http.ratelimit"
ATTEMPT: Final = "tollhouse.attempt"
RESPONSE: Final = "tollhouse.response"
CALLER: Final = "tollhouse.caller"

PROVIDER_HEADER: Final = "x-tollhouse-provider"
DECISION_HEADER: Final = "x-tollhouse-decision"
REWRITTEN_HEADER: Final = "x-tollhouse-rewritten"
ANSWERED_HEADER: Final = "x-tollhouse-answered-by"
POLICY_HEADER: Final = "x-tollhouse-policy"
ASKED_HEADER: Final = "x-tollhouse-asked"
"""The path of what Envoy refuses before any filter runs: from its reply to the response filter."""

# Envoy's own name: what is left of a route's retries.
MAX_RETRIES_HEADER: Final = "x-envoy-max-retries"

# Management. Envoy sets both headers; a client's are dropped at its edge.
MANAGE_PATH: Final = "/manage"
CLIENT_ADDRESS_HEADER: Final = "x-tollhouse-client-address"
IDENTITY_HEADER: Final = "x-tollhouse-identity"
"""The payload of a JWT that Envoy has verified, in base64url."""
SIGN_ON_COOKIE: Final = "tollhouse_sso"
"""Holds a JWT of a browser that has signed on."""

GRANT_DESCRIPTORS: Final = ("key_id", "alias", "policy_version")
SIZE: Final = "size"
"""All that a limit is decided by, as one string: `endpoint=chat/completions;text_bytes=140;n=2`."""
# Envoy's own id of the request: its HTTP connection manager replaces whatever a client sends.
REQUEST_ID_HEADER: Final = "x-request-id"
REQUEST_ID_DESCRIPTOR: Final = "request_id"

RATE_LIMIT_DOMAIN: Final = "tollhouse"
ACCESS_LOG_NAME: Final = "tollhouse"
