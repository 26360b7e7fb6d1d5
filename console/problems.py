"""What a caller of the management API is told when it is refused. Pure.

    ManageError    the request was refused, and nothing was changed

Each code has one HTTP status; bodies have OpenAI's error shape, as the gateway's own refusals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Code:
    """HTTP status and OpenAI error type of a refusal."""

    status: int
    type: str


CODES: Final[dict[str, Code]] = {
    "invalid_request": Code(400, "invalid_request_error"),
    "invalid_token": Code(401, "invalid_request_error"),
    "token_expired": Code(401, "invalid_request_error"),
    "proxy_key_not_accepted": Code(401, "invalid_request_error"),
    "role_not_allowed": Code(403, "permission_error"),
    "cross_site_request": Code(403, "permission_error"),
    "not_found": Code(404, "invalid_request_error"),
    "method_not_allowed": Code(405, "invalid_request_error"),
    "already_exists": Code(409, "conflict_error"),
    "in_use": Code(409, "conflict_error"),
    "edited_meanwhile": Code(409, "conflict_error"),
    "policy_read_only": Code(409, "conflict_error"),
    "policy_invalid": Code(409, "conflict_error"),
    "layout_not_editable": Code(409, "conflict_error"),
    "etag_mismatch": Code(412, "conflict_error"),
    "request_too_large": Code(413, "invalid_request_error"),
    "exceeds_level": Code(422, "invalid_request_error"),
    "policy_refused": Code(422, "invalid_request_error"),
    "audit_unavailable": Code(503, "api_error"),
    "ledger_unavailable": Code(503, "api_error"),
    "internal_error": Code(500, "api_error"),
}


@dataclass(slots=True)
class ManageError(Exception):
    """A refusal. `message` says what to do next and holds no key, token or secret.

    `param` names the field at fault. `details` goes into the body beside the message, for programs:
    `level` and `name` of what narrows, `limit`, a `patch` to apply in Git.
    """

    code: str
    message: str
    param: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message

    @property
    def status(self) -> int:
        """Of HTTP."""
        return CODES[self.code].status

    def body(self) -> dict[str, Any]:
        """In OpenAI's error shape."""
        told = {
            "message": self.message,
            "type": CODES[self.code].type,
            "param": self.param,
            "code": self.code,
        }
        return {"error": {**told, **({"details": self.details} if self.details else {})}}
