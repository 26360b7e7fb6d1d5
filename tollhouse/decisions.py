"""The stable decision codes: `error.code` to a client, `decision` in the log and in metrics.

Exactly one decision is made per request. The table is documented in docs/decisions.md, and a test
holds the two together.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """HTTP status and OpenAI error type of a refusal."""

    status: int
    type: str


ALLOWED: Final = "allowed"
PARAMETER_NOT_ALLOWED: Final = "parameter_not_allowed"
PROVIDER_ERROR: Final = "provider_error"
LEDGER_UNAVAILABLE: Final = "ledger_unavailable"

# Made by the services or by Lua; Envoy's own (the last group) are written in envoy/envoy.yaml.
CODES: Final[dict[str, Code]] = {
    "invalid_body": Code(400, "invalid_request_error"),
    "model_missing": Code(400, "invalid_request_error"),
    "ambiguous_body": Code(400, "invalid_request_error"),
    "parameter_not_allowed": Code(400, "invalid_request_error"),
    "invalid_api_key": Code(401, "invalid_request_error"),
    "key_expired": Code(401, "invalid_request_error"),
    "key_blocked": Code(403, "permission_error"),
    "model_not_allowed": Code(403, "permission_error"),
    "endpoint_not_allowed": Code(403, "permission_error"),
    "model_not_found": Code(404, "invalid_request_error"),
    "response_not_found": Code(404, "invalid_request_error"),
    "unknown_endpoint": Code(404, "invalid_request_error"),
    "rate_limit_requests": Code(429, "rate_limit_error"),
    "rate_limit_tokens": Code(429, "rate_limit_error"),
    "concurrency_limit": Code(429, "rate_limit_error"),
    # OpenAI's own type for "you have run out", which well-behaved clients do not retry.
    "budget_exceeded": Code(429, "insufficient_quota"),
    "budget_reserved": Code(429, "rate_limit_error"),
    "internal_error": Code(500, "api_error"),
    "invalid_request": Code(400, "invalid_request_error"),
    "request_too_large": Code(413, "invalid_request_error"),
    PROVIDER_ERROR: Code(502, "api_error"),
    "policy_unavailable": Code(503, "api_error"),
    LEDGER_UNAVAILABLE: Code(503, "api_error"),
    "management_unavailable": Code(503, "api_error"),
    "provider_timeout": Code(504, "api_error"),
}


def error_body(code: str, message: str, param: str | None = None) -> str:
    """The refusal in OpenAI's error shape. Raises KeyError for a code not in the table."""
    error = {"message": message, "type": CODES[code].type, "param": param, "code": code}
    return json.dumps({"error": error})
