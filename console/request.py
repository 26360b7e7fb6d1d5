"""The request that is being answered, for what is called far from it: the audit log."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class RequestFacts:
    """`client_address` is what Envoy saw. `written`: the version of the policy that it made."""

    client_address: str | None = None
    request_id: str | None = None
    written: str | None = None


CURRENT: ContextVar[RequestFacts] = ContextVar("console_request")
"""Of this task, and of the threads that it waits for."""


def current() -> RequestFacts:
    """Outside of a request, facts of nobody."""
    return CURRENT.get(RequestFacts())
