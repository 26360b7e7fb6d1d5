"""What is asked of the decision, and what it can say."""

from __future__ import annotations

from dataclasses import dataclass

from tollhouse.policy.compiled import Alias, Key


@dataclass(frozen=True, slots=True)
class Call:
    """What Envoy tells of one request.

    `endpoint` is one of `tollhouse.endpoints.KNOWN` or None; `model` the alias the body names, None
    where the body was not read; `body_error` (code, message) what request.lua found wrong with it;
    `unbounded` the parameter that request.lua tells of, which may be one that names other models.
    `response_id` is the stored response that the path names, or that the body continues
    (`previous_response_id`). `is_read`: request.lua saw this request at all.
    `is_known_only`: its body is held back until the key is known, and nothing else is asked.
    """

    method: str
    path: str
    api_key: str | None
    endpoint: str | None = None
    model: str | None = None
    body_error: tuple[str, str] | None = None
    unbounded: str | None = None
    response_id: str | None = None
    is_read: bool = True
    is_known_only: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A response that a provider keeps: its id there, and who the provider is."""

    raw_id: str
    provider: str


@dataclass(frozen=True, slots=True)
class Granted:
    """The call may go to what stands behind this alias, as far as that serves `endpoint`.

    `is_previous`: it came with a key that this one replaced and that is valid for a while yet.
    `bind` is the secret by which ids of stored responses are bound to the caller's key, "" where
    none are made. `stored`: the call is about this one, and only its provider can answer.
    """

    key: Key
    alias: Alias
    endpoint: str
    is_previous: bool = False
    bind: str = ""
    stored: Stored | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """`GET /v1/models`: what this key may call, sorted by name; `single` for `/v1/models/{id}`."""

    key: Key
    aliases: tuple[Alias, ...]
    single: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """`message` is for the caller and the log; it never holds a key."""

    code: str
    message: str
    param: str | None = None
    key: Key | None = None
    alias: str | None = None


Decision = Granted | Listed | Refused
