"""Anthropic's errors: {"type": "error", "error": {type, message}, "request_id"}.

docs.claude.com/en/api/errors: which type each status has. Wordings are those of public reports.
"""

from __future__ import annotations

import uuid

from tollhouse.simulator.errors import INVALID, ApiError, phrase

_TYPES = {
    400: (INVALID, "messages: at least one message is required"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your credit balance is too low to access the Anthropic API."),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "Not Found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: (
        "rate_limit_error",
        "This request would exceed your organization's (org-simulated) rate limit of 50 requests "
        "per minute. For details, refer to: https://docs.claude.com/en/api/rate-limits.",
    ),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}


def shape(error: ApiError) -> object:
    """The body, before it is written as JSON."""
    about = {"type": error.type, "message": error.message}
    return {"type": "error", "error": about, "request_id": f"req_{uuid.uuid4().hex[:24]}"}


def on_demand(status: int) -> ApiError:
    """The error the `status` directive asks for."""
    fallback = ("api_error" if status >= 500 else INVALID, f"{phrase(status)} (simulated)")
    kind, message = _TYPES.get(status, fallback)
    return ApiError(status, message, type=kind)


def missing_key() -> ApiError:
    """No x-api-key."""
    return ApiError(401, "x-api-key header is required", type="authentication_error")


def incorrect_key(_key: str) -> ApiError:
    """A key that is none."""
    return on_demand(401)


def missing_version() -> ApiError:
    """No anthropic-version."""
    return ApiError(400, "anthropic-version: header is required")


def invalid(message: str) -> ApiError:
    """A body that is wrong as the message says."""
    return ApiError(400, message)


def model_not_found(model: str) -> ApiError:
    """A model outside the configured list."""
    return ApiError(404, f"model: {model}", type="not_found_error")


def wrong_method(_method: str, _path: str) -> ApiError:
    """An endpoint called with a method it does not have."""
    return ApiError(405, "Method Not Allowed")
