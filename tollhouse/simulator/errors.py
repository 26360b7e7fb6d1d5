"""The provider's error answers, in OpenAI's shape: {"error": {message, type, param, code}}.

Quoted in public bug reports of api.openai.com: bad JSON, missing model, empty array, two token
limits, `stream_options` without stream, invalid embeddings input, the rate limit and the server
error. The others follow its style, and their wording is not to be relied on. A wrong method is
answered as it long was; newer reports say 404.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from http import HTTPStatus

_KEYS_PAGE = "https://platform.openai.com/account/api-keys"
_INVALID = "invalid_request_error"


@dataclass(eq=False)
class ApiError(Exception):
    """An answer other than success. `status` is its HTTP status."""

    status: int
    message: str
    type: str = _INVALID
    param: str | None = None
    code: str | None = None

    def body(self) -> bytes:
        """The JSON body, indented as the real one."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}, indent=2).encode() + b"\n"


def missing_key() -> ApiError:
    """No bearer token in the request."""
    message = (
        "You didn't provide an API key. You need to provide your API key in an Authorization "
        "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field "
        "(with blank username) if you're accessing the API from your browser and are prompted for "
        f"a username and password. You can obtain an API key from {_KEYS_PAGE}."
    )
    return ApiError(401, message)


def incorrect_key(key: str) -> ApiError:
    """A token that is not a key. The message shows both ends of it, as the real one does."""
    message = f"Incorrect API key provided: {_masked(key)}. You can find your API key at "
    return ApiError(401, f"{message}{_KEYS_PAGE}.", code="invalid_api_key")


def bad_json() -> ApiError:
    """A body that is not a JSON object."""
    message = (
        "We could not parse the JSON body of your request. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was "
        "sent was not valid JSON. If you have trouble figuring out how to fix this, please contact "
        "us through our help center at help.openai.com.)"
    )
    return ApiError(400, message)


def missing_model() -> ApiError:
    """No model in the body."""
    return ApiError(400, "you must provide a model parameter")


def missing_parameter(param: str) -> ApiError:
    """A required field is absent."""
    message = f"Missing required parameter: '{param}'."
    return ApiError(400, message, param=param, code="missing_required_parameter")


def invalid_type(param: str, expected: str, value: object) -> ApiError:
    """A field of another JSON type than `expected` ("an integer", "an array of objects")."""
    message = f"Invalid type for '{param}': expected {expected}, but got {_kind(value)} instead."
    return ApiError(400, message, param=param, code="invalid_type")


def empty_array(param: str) -> ApiError:
    """An array without elements."""
    message = (
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead."
    )
    return ApiError(400, message, param=param, code="empty_array")


def out_of_range(param: str, value: int, low: int, high: int) -> ApiError:
    """An integer outside `low`..`high`, both allowed."""
    below = value < low
    side, bound = ("below minimum", f">= {low}") if below else ("above maximum", f"<= {high}")
    message = f"Invalid '{param}': integer {side} value. Expected a value {bound}, but got {value}"
    code = "integer_below_min_value" if below else "integer_above_max_value"
    return ApiError(400, f"{message} instead.", param=param, code=code)


def two_token_limits() -> ApiError:
    """The old and the new name of the completion limit in one request."""
    message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    return ApiError(400, message, param="max_tokens", code="invalid_parameter_combination")


def stream_options_without_stream() -> ApiError:
    """`stream_options` on a call that does not stream."""
    message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    return ApiError(400, message, param="stream_options")


def invalid_input() -> ApiError:
    """An embeddings input that is empty or of no known form."""
    message = (
        "'$.input' is invalid. Please check the API reference: "
        "https://platform.openai.com/docs/api-reference."
    )
    return ApiError(400, message)


def model_not_found(model: str) -> ApiError:
    """A model outside the configured list."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return ApiError(404, message, code="model_not_found")


def unknown_url(method: str, path: str) -> ApiError:
    """A path that is no endpoint."""
    return ApiError(404, f"Invalid URL ({method} {path})")


def wrong_method(method: str, path: str) -> ApiError:
    """An endpoint called with a method it does not have."""
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return ApiError(405, f"Not allowed to {method} on {path}. {hint}")


def on_demand(status: int) -> ApiError:
    """The error the `status` directive asks for."""
    if status in _KNOWN:
        # A copy each time: an exception that is raised again keeps, and grows, its traceback.
        return replace(_KNOWN[status])
    kind = "server_error" if status >= 500 else _INVALID
    return ApiError(status, f"{_phrase(status)} (simulated)", type=kind)


def html_page(status: int) -> bytes:
    """The page a CDN in front of the provider sends when it has no answer from it."""
    title = f"{status} {_phrase(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
        "</body>\r\n</html>\r\n"
    ).encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


def _masked(key: str) -> str:
    """Eight characters, stars, four characters; of a short key never more than half."""
    head, tail = min(8, len(key) // 3), min(4, len(key) // 6)
    return f"{key[:head]}{'*' * (len(key) - head - tail)}{key[len(key) - tail :]}"


def _kind(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names[type(value)]


_KNOWN = {
    error.status: error
    for error in (
        ApiError(
            401,
            "Incorrect API key provided: sk-simul********************ated. You can find your API "
            f"key at {_KEYS_PAGE}.",
            code="invalid_api_key",
        ),
        ApiError(
            403,
            "Country, region, or territory not supported",
            type="request_forbidden",
            code="unsupported_country_region_territory",
        ),
        ApiError(
            429,
            "Rate limit reached for requests in organization org-simulated on requests per min "
            "(RPM): Limit 10000, Used 10000, Requested 1. Please try again in 6ms. Visit "
            "https://platform.openai.com/account/rate-limits to learn more.",
            type="requests",
            code="rate_limit_exceeded",
        ),
        ApiError(
            500,
            "The server had an error while processing your request. Sorry about that!",
            type="server_error",
        ),
        ApiError(
            503,
            "The engine is currently overloaded, please try again later.",
            type="server_error",
            code="service_unavailable",
        ),
    )
}
