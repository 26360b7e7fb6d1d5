"""A call as Envoy would tell of it, for tools that ask what would be decided. Pure."""

from __future__ import annotations

from authz_service.verdicts import Call
from authz_service.wording import MODELS_PATH
from tollhouse.endpoints import CHAT, KNOWN, RESPONSE_BY_ID, RESPONSES, UNCHECKED
from tollhouse.policy.compiled import Alias

_PREFIX = "/v1/"


def asked(path: str, model: str | None, method: str | None = None) -> Call:
    """The call of a known key; without `method` the one that the path is open for."""
    path = path.partition("?")[0]
    is_listing = path == MODELS_PATH or path.startswith(f"{MODELS_PATH}/")
    return Call(
        method=method or ("GET" if is_listing else "POST"),
        path=path,
        api_key=None,
        endpoint=_endpoint(path),
        model=model,
    )


def _endpoint(path: str) -> str | None:
    """As request.lua tells it."""
    endpoint = path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else ""
    first, _, rest = endpoint.partition("/")
    if first in UNCHECKED:
        return first
    if first == RESPONSES and rest and "/" not in rest:
        return RESPONSE_BY_ID
    return endpoint if endpoint in KNOWN else None


def own_path(alias: Alias) -> str:
    """Where calls of this alias go, chat if it serves that."""
    return _PREFIX + (CHAT if CHAT in alias.endpoints else min(alias.endpoints))
