"""The messages in messages/, which Envoy sent: see record.py."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

FOLDER = Path(__file__).with_name("messages")
POLICIES = Path(__file__).with_name("policies")
KEY_NAME = "guard"
ALIAS = "small"

_M = TypeVar("_M", bound=Message)


def check() -> CheckRequest:
    """What authz_service was asked; the place of the key says KEY."""
    return _read("check", CheckRequest())


def rate_limit() -> RateLimitRequest:
    """What ratelimit_service was asked of the same call."""
    return _read("rate_limit", RateLimitRequest())


def access_log() -> HTTPAccessLogEntry:
    """What it was told at the end of the call."""
    return _read("access_log", HTTPAccessLogEntry())


def _read(name: str, empty: _M) -> _M:
    return Parse((FOLDER / f"{name}.json").read_text(), empty)
