"""The provider's error answers, in OpenAI's shape: {"error": {message, type, param, code}}.

Quoted in public bug reports of api.openai.com: bad JSON, missing model, empty array, two token
limits, `stream_options` without stream, invalid embeddings input, the rate limit and the server
error. The others follow its style, and their wording is not to be relied on. A wrong method is
answered as it long was; newer reports say 404.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tollhouse.simulator.errors import INVALID, ApiError, masked, phrase

_KEYS_PAGE = "https://platform.openai.com/account/api-keys"


def shape(error: ApiError) -> object:
    """The body, before it is written as JSON."""
    parts = {"type": error.type, "param": error.param, "code": error.code}
    return {"error": {"message": error.message, **parts}}


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
    message = f"Incorrect API key provided: {masked(key)}. You can find your API key at "
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


def bad_form() -> ApiError:
    """A body that is no multipart form."""
    return ApiError(400, "Could not parse multipart form")


def invalid_choice(param: str, value: object, choices: Iterable[str]) -> ApiError:
    """A string that is none of the possible ones."""
    known = ", ".join(f"'{choice}'" for choice in choices)
    message = f"Invalid value: '{value}'. Supported values are: {known}."
    return ApiError(400, message, param=param, code="invalid_value")


def too_long(param: str, most: int, length: int) -> ApiError:
    """A string that has too many characters."""
    message = (
        f"Invalid '{param}': string too long. Expected a string with maximum length {most}, "
        f"but got a string with length {length} instead."
    )
    return ApiError(400, message, param=param, code="string_above_max_length")


def response_not_found(response_id: str) -> ApiError:
    """A stored response that is not there (or was never stored)."""
    return ApiError(404, f"Response with id '{response_id}' not found.")


def previous_response_not_found(response_id: str) -> ApiError:
    """The same, named by `previous_response_id`."""
    message = f"Previous response with id '{response_id}' not found."
    code, param = "previous_response_not_found", "previous_response_id"
    return ApiError(400, message, param=param, code=code)


def no_such_object(kind: str, name: str) -> ApiError:
    """A file or a batch that is not there."""
    return ApiError(404, f"No such {kind} object: {name}", param="id")


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
    kind = "server_error" if status >= 500 else INVALID
    return ApiError(status, f"{phrase(status)} (simulated)", type=kind)


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
