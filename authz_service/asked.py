"""A call as Envoy would tell of it, for tools that ask what would be decided. Pure."""

from __future__ import annotations

from authz_service.decision import MODELS_PATH, Call
from tollhouse import contract
from tollhouse.policy.compiled import Alias

_PREFIX = "/v1/"


def asked(path: str, model: str | None, method: str | None = None) -> Call:
    """The call of a known key; without `method` the one that the path is open for."""
    path = path.partition("?")[0]
    endpoint = path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else ""
    is_listing = path == MODELS_PATH or path.startswith(f"{MODELS_PATH}/")
    return Call(
        method=method or ("GET" if is_listing else "POST"),
        path=path,
        api_key=None,
        endpoint=endpoint if endpoint in contract.ENDPOINTS else None,
        model=model,
    )


def own_path(alias: Alias) -> str:
    """Where calls of this alias go, chat if it serves that."""
    return _PREFIX + (contract.CHAT if contract.CHAT in alias.endpoints else min(alias.endpoints))
