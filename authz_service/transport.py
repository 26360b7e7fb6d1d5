"""CheckRequest in, CheckResponse out: the only module here that knows protobuf.

Messages are Envoy's own (xds-protos, on upb). The parts of a grant are serialized once and reused:
where calls of an alias go is the same for all keys, and who calls is a hundred bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf.struct_pb2 import Struct
from google.rpc.code_pb2 import OK, PERMISSION_DENIED

from authz_service.balance import Attempt, Draw, candidates, chain, fallbacks_of, in_order
from authz_service.stored import tag_of
from authz_service.verdicts import Call, Decision, Granted, Listed, Refused
from tollhouse import contract
from tollhouse.decisions import ALLOWED, CODES, error_body
from tollhouse.endpoints import KNOWN, UNCHECKED
from tollhouse.policy.compiled import Alias, Key, Snapshot
from tollhouse.policy.ordering import patience_of

# The client's key goes no further than this service.
_CREDENTIAL_HEADERS = ("authorization", "x-api-key")
_CACHED_CHAINS = 4_096


def call_from(request: CheckRequest) -> Call:
    """What the filters read, without the query: a model or a key in it means nothing here."""
    http = request.attributes.request.http
    metadata = request.attributes.metadata_context.filter_metadata
    facts = metadata[contract.REQUEST].fields if contract.REQUEST in metadata else {}
    endpoint = _text(facts, "endpoint")
    error = _text(facts, "error")
    return Call(
        method=http.method,
        path=http.path.partition("?")[0],
        api_key=_api_key(http.headers),
        endpoint=endpoint if endpoint in KNOWN else None,
        model=_stated(facts, "model") if endpoint in UNCHECKED else _text(facts, "model"),
        body_error=(error, _text(facts, "error_message") or "") if error else None,
        unbounded=_text(facts, "unbounded"),
        response_id=_stated(facts, "response_id") or _stated(facts, "previous_response_id"),
        # request.lua names an endpoint ("none" included) on every request that it reads.
        is_read=endpoint is not None,
        is_known_only=contract.LARGE in metadata,
    )


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    return fields[name].string_value if name in fields else None


def _stated(fields: Mapping[str, Any], name: str) -> str | None:
    """A fact that is left out, or "none", where the request does not say."""
    text = _text(fields, name)
    return None if text == "none" else text


def _api_key(headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("authorization", "")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip() or None
    return headers.get("x-api-key") or None


class Answers:
    """Serialized answers of one snapshot; a new snapshot means a new `Answers`.

    `draw` shares calls out among deployments. Without a reference cycle, so that the last reference
    to it takes the snapshot along.
    """

    def __init__(
        self, snapshot: Snapshot, cached_keys: int = 65_536, draw: Draw = random.random
    ) -> None:
        self._writer = _Writer(snapshot)
        self._draw = draw
        self._fallbacks = lru_cache(maxsize=cached_keys)(self._writer.fallbacks)
        self._caller = lru_cache(maxsize=cached_keys)(self._writer.caller)
        self._chain = lru_cache(maxsize=_CACHED_CHAINS)(self._writer.chain)
        self._route = lru_cache(maxsize=_CACHED_CHAINS)(self._writer.route)

    def serialize(self, decision: Decision) -> bytes:
        """The CheckResponse for a decision, as bytes."""
        if isinstance(decision, Granted):
            return self._serialize(decision)
        if isinstance(decision, Listed):
            return self._writer.listed(decision)
        return self._writer.refused(decision)

    def _serialize(self, granted: Granted) -> bytes:
        key, alias = granted.key, granted.alias
        if granted.stored is not None:
            # There are as many as there are responses: not worth keeping.
            found = candidates(self._writer.snapshot, granted)
            return self._writer.granted(granted, found)
        names = self._fallbacks(key.id, alias.name, granted.endpoint) if alias.fallbacks else ()
        which = _Which(alias.name, granted.endpoint, names)
        found = self._chain(which)
        order = in_order(found, self._draw) if len(found) > 1 else (0,)
        caller = self._caller(key.id, alias.name, granted.is_previous, granted.bind)
        return self._route(which, order) + caller


def passed() -> bytes:
    """The CheckResponse that lets a body be read; the decision comes after it."""
    response = CheckResponse()
    response.status.code = OK
    return bytes(response.SerializeToString())


class _Which(NamedTuple):
    """What the places that a call may be sent to depend on."""

    alias: str
    endpoint: str
    fallbacks: tuple[str, ...]


class _Writer:
    """A grant is two messages, joined: where calls of an alias go, and who calls. Serialized
    messages that are joined are one message, their maps merged."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    def fallbacks(self, key_id: str, alias: str, endpoint: str) -> tuple[str, ...]:
        snapshot = self.snapshot
        return fallbacks_of(snapshot, snapshot.keys[key_id], snapshot.aliases[alias], endpoint)

    def chain(self, which: _Which) -> tuple[Attempt, ...]:
        aliases = self.snapshot.aliases
        fallbacks = [aliases[name] for name in which.fallbacks]
        return chain(aliases[which.alias], which.endpoint, fallbacks)

    def route(self, which: _Which, order: tuple[int, ...]) -> bytes:
        found = self.chain(which)
        return self._routed(self.snapshot.aliases[which.alias], [found[place] for place in order])

    def caller(self, key_id: str, alias: str, is_previous: bool, bind: str) -> bytes:
        key = self.snapshot.keys[key_id]
        notes = _notes(key, self.snapshot.aliases[alias], is_previous=is_previous)
        return _metadata({**_who(key), **notes, **({"bind": bind} if bind else {})})

    def granted(self, granted: Granted, attempts: Sequence[Attempt]) -> bytes:
        key, alias, stored = granted.key, granted.alias, granted.stored
        caller = self.caller(key.id, alias.name, granted.is_previous, granted.bind)
        told = _metadata({"stored_id": stored.raw_id}) if stored else b""
        return self._routed(alias, attempts) + caller + told

    def _routed(self, alias: Alias, attempts: Sequence[Attempt]) -> bytes:
        response = CheckResponse()
        response.status.code = OK
        response.ok_response.headers.append(
            _header(contract.PROVIDER_HEADER, self._route(alias, attempts))
        )
        if len(attempts) > 1:
            more = _header(contract.MAX_RETRIES_HEADER, str(len(attempts) - 1))
            response.ok_response.headers.append(more)
        response.ok_response.headers_to_remove.extend(_CREDENTIAL_HEADERS)
        response.ok_response.response_headers_to_add.extend(self._shown())
        response.dynamic_metadata.CopyFrom(_struct(self._grant(alias, attempts)))
        return bytes(response.SerializeToString())

    def _route(self, alias: Alias, attempts: Sequence[Attempt]) -> str:
        if len(attempts) == 1:
            return attempts[0].deployment.provider
        return patience_of(self.snapshot, alias).route

    def _identity(self, key: Key | None) -> dict[str, Any]:
        return {"policy_version": self.snapshot.version, **(_who(key) if key else {})}

    def _grant(self, alias: Alias, attempts: Sequence[Attempt]) -> dict[str, Any]:
        first = attempts[0].deployment
        shown = {} if self.snapshot.org.show_provider_model else {"show_model": alias.name}
        return {
            "policy_version": self.snapshot.version,
            "reason": ALLOWED,
            "alias": alias.name,
            "provider": first.provider,
            "provider_model": first.model,
            "attempts": [self._attempt(each) for each in attempts],
            **(self._several(alias, attempts) if len(attempts) > 1 else {}),
            **shown,
        }

    def _several(self, alias: Alias, attempts: Sequence[Attempt]) -> dict[str, Any]:
        milliseconds = round(1000 * patience_of(self.snapshot, alias).first_byte)
        return {"priority_groups": _groups(attempts), "patience_ms": milliseconds}

    def _attempt(self, attempt: Attempt) -> dict[str, Any]:
        alias, each = attempt.alias, attempt.deployment
        limit = (
            {"max_output_tokens": alias.max_output_tokens}
            if alias.max_output_tokens is not None
            else {"default_max_output_tokens": self.snapshot.org.default_max_output_tokens}
        )
        return {
            "provider": each.provider,
            "model": each.model,
            "deployment": tag_of(alias.name, each.provider, each.model),
            "max_tokens_field": each.max_tokens_field,
            "stream_usage": each.stream_usage,
            "defaults": dict(alias.defaults),
            **limit,
            **({"price": each.price.to_labels()} if each.price else {}),
        }

    def listed(self, decision: Listed) -> bytes:
        models = [_model(alias) for alias in decision.aliases]
        body = models[0] if decision.single else _page(models)
        metadata = {**self._identity(decision.key), "reason": "listed models"}
        return _answer(200, json.dumps(body), ALLOWED, metadata, self._shown())

    def refused(self, refused: Refused) -> bytes:
        alias = {"alias": refused.alias} if refused.alias else {}
        metadata = {**self._identity(refused.key), **alias, "reason": refused.message}
        body = error_body(refused.code, refused.message, refused.param)
        return _answer(CODES[refused.code].status, body, refused.code, metadata, self._shown())

    def _shown(self) -> list[HeaderValueOption]:
        """What every answer to the client says besides, a later filter's refusal included."""
        shown = self.snapshot.org.show_policy_version
        return [_header(contract.POLICY_HEADER, self.snapshot.version)] if shown else []


def _groups(attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    """What Envoy's priority_group specifier reads: attempt k goes to the k-th group. All but the
    last pass a provider over that cools down; the last is sent, so that some provider answers."""
    clusters = [f"provider.{each.deployment.provider}" for each in attempts]
    pools = [f"{cluster}.pool" for cluster in clusters[:-1]]
    return [
        {"name": str(place), "clusters": [{"cluster_name": cluster, "weight": 1}]}
        for place, cluster in enumerate([*pools, clusters[-1]])
    ]


def _notes(key: Key, alias: Alias, *, is_previous: bool) -> dict[str, str]:
    """What the log says of a call that is allowed, and may not be for long."""
    rule = key.would_deny(alias.name)
    return {
        **({"would_deny": f"{rule.where} would"} if rule else {}),
        **({"credential": "previous"} if is_previous else {}),
    }


def _model(alias: Alias) -> dict[str, Any]:
    # OpenAI's Model object with the members of Anthropic's ModelInfo beside them, so that either
    # SDK reads it; an alias has no date of its own.
    openai = {"id": alias.name, "object": "model", "created": 0, "owned_by": "tollhouse"}
    anthropic = {"type": "model", "display_name": alias.name, "created_at": "1970-01-01T00:00:00Z"}
    return {**openai, **anthropic}


def _page(models: list[dict[str, Any]]) -> dict[str, Any]:
    """All of them at once, as a list of OpenAI's and a page of Anthropic's."""
    ends = {"first_id": models[0]["id"], "last_id": models[-1]["id"]} if models else {}
    nothing = {"first_id": None, "last_id": None}
    return {"object": "list", "data": models, "has_more": False, **nothing, **ends}


def _answer(
    status: int,
    body: str,
    decision: str,
    metadata: dict[str, Any],
    shown: Iterable[HeaderValueOption],
) -> bytes:
    """ext_authz calls every answer of its own a denial, a 200 included."""
    response = CheckResponse()
    response.status.code = PERMISSION_DENIED
    denied = response.denied_response
    denied.status.code = status
    denied.body = body
    denied.headers.append(_header("content-type", "application/json"))
    denied.headers.append(_header(contract.DECISION_HEADER, decision))
    denied.headers.extend(shown)
    response.dynamic_metadata.CopyFrom(_struct(metadata))
    return bytes(response.SerializeToString())


def _who(key: Key) -> dict[str, str]:
    who = {"key_id": key.id, "team": key.team, "project": key.project}
    return {**who, **({"env": key.env} if key.env else {})}


def _metadata(values: dict[str, Any]) -> bytes:
    """A CheckResponse of nothing else, to be joined to another."""
    return bytes(CheckResponse(dynamic_metadata=_struct(values)).SerializeToString())


def _struct(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
