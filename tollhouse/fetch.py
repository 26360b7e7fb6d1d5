"""Small JSON documents from the gateway's own parts, over HTTP and never through a proxy."""

from __future__ import annotations

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

_SECONDS = 2.0
# A proxy of the environment is for the world outside.
_OPENER = build_opener(ProxyHandler({}))


class Unreachable(Exception):
    """Nobody answers there, or not with JSON; the message says which."""


def get(url: str) -> tuple[int, str]:
    """Status and body of an answer, whatever its status. Raises Unreachable."""
    if not url.startswith(("http://", "https://")):
        raise Unreachable(f"{url} is not an http:// URL")
    try:
        with _OPENER.open(url, timeout=_SECONDS) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"{url} does not answer: {getattr(error, 'reason', error)}") from None


def get_json(url: str) -> Any:
    """The document, whatever the status of the answer. Raises Unreachable."""
    status, body = get(url)
    try:
        return json.loads(body)
    except ValueError:
        raise Unreachable(f"{url} answered {status}, and not with JSON") from None
