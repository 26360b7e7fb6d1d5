"""What all endpoints share: who calls, exact JSON in and out, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from console.actors import Actor
from console.identity.asking import Asking
from console.problems import CODES, ManageError
from console.services import Services
from console.shapes.reading import parsed, refuse
from tollhouse import contract
from tollhouse.serving.logs import log_unexpected

_SERVER_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class ErrorDetail(BaseModel):
    """Why a request was refused, and what to do."""

    message: str
    type: str
    param: str | None
    code: str
    details: dict[str, Any] = Field(default={})


class ErrorBody(BaseModel):
    """Every refusal."""

    error: ErrorDetail


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: the answers of these codes, and those that any request can get."""
    statuses: dict[int, list[str]] = {}
    for code in (*codes, "invalid_request", "invalid_token", "role_not_allowed", "internal_error"):
        statuses.setdefault(CODES[code].status, []).append(code)
    return {
        status: {"model": ErrorBody, "description": ", ".join(sorted({*named}))}
        for status, named in sorted(statuses.items())
    }
