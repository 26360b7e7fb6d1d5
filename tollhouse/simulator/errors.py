"""An answer other than success, before a dialect or a provider's quirk gives it its shape."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

INVALID = "invalid_request_error"


@dataclass(eq=False)
class ApiError(Exception):
    """`status` is the HTTP status. A `body`, if any, is sent as it is, whatever the shape is."""

    status: int
    message: str
    type: str = INVALID
    param: str | None = None
    code: str | None = None
    body: object = None


def phrase(status: int) -> str:
    """The status in words."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown Error"


def html_page(status: int) -> bytes:
    """The page a CDN in front of the provider sends when it has no answer from it."""
    title = f"{status} {phrase(status)}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>cloudflare</center>\r\n"
        "</body>\r\n</html>\r\n"
    ).encode()


def masked(key: str) -> str:
    """Eight characters, stars, four characters; of a short key never more than half."""
    head, tail = min(8, len(key) // 3), min(4, len(key) // 6)
    return f"{key[:head]}{'*' * (len(key) - head - tail)}{key[len(key) - tail :]}"
