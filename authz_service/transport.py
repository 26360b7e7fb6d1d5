"""CheckRequest in, CheckResponse out: the only module here that knows protobuf.

Messages are Envoy's own (xds-protos, on upb). An answer that depends on the grant alone is
serialized once and reused: the same key calling the same alias gets the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf.struct_pb2 import Struct
from google.rpc.code_pb2 import OK, PERMISSION_DENIED

from authz_service.decision import Call, Decision, Granted, Listed, Refused
from tollhouse import contract
from tollhouse.decisions import ALLOWED, CODES, error_body
from tollhouse.policy.compiled import Alias, Key, Snapshot

# The client's key goes no further than this service.
_CREDENTIAL_HEADERS = ("authorization", "x-api-key")


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
        endpoint=endpoint if endpoint in contract.ENDPOINTS else None,
        model=_text(facts, "model"),
        body_error=(error, _text(facts, "error_message") or "") if error else None,
        unbounded=_text(facts, "unbounded"),
        # request.lua names an endpoint ("none" included) on every request that it reads.
        is_read=endpoint is not None,
    )


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    return fields[name].string_value if name in fields else None


def _api_key(headers: Mapping[str, str]) -> str | None:
    authorization = headers.get("authorization", "")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credential.strip() or None
    return headers.get("x-api-key") or None


class Answers:
    """Serialized answers of one snapshot; a new snapshot means a new `Answers`.

    Without a reference cycle, so that the last reference to it takes the snapshot along.
    """

    def __init__(self, snapshot: Snapshot, cached_grants: int = 65_536) -> None:
        self._writer = _Writer(snapshot)
        self._granted = lru_cache(maxsize=cached_grants)(self._writer.granted)

    def serialize(self, decision: Decision) -> bytes:
        """The CheckResponse for a decision, as bytes."""
        if isinstance(decision, Granted):
            return self._granted(decision.key.id, decision.alias.name, decision.is_previous)
        if isinstance(decision, Listed):
            return self._writer.listed(decision)
        return self._writer.refused(decision)


class _Writer:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def granted(self, key_id: str, alias_name: str, is_previous: bool) -> bytes:
        key, alias = self._snapshot.keys[key_id], self._snapshot.aliases[alias_name]
        response = CheckResponse()
        response.status.code = OK
        response.ok_response.headers.append(_header(contract.PROVIDER_HEADER, alias.provider))
        response.ok_response.headers_to_remove.extend(_CREDENTIAL_HEADERS)
        response.ok_response.response_headers_to_add.extend(self._shown())
        noted = {**_notes(key, alias, is_previous=is_previous), "reason": ALLOWED}
        response.dynamic_metadata.CopyFrom(
            _struct({**self._identity(key), **self._grant(alias), **noted})
        )
        return bytes(response.SerializeToString())

    def _identity(self, key: Key | None) -> dict[str, Any]:
        known = {"policy_version": self._snapshot.version}
        if key is None:
            return known
        who = {"key_id": key.id, "team": key.team, "project": key.project}
        return {**known, **who, **({"env": key.env} if key.env else {})}

    def _grant(self, alias: Alias) -> dict[str, Any]:
        return {
            "alias": alias.name,
            "provider": alias.provider,
            "provider_model": alias.model,
            "rewrite": self._rewrite(alias),
            **({"price": alias.price.to_labels()} if alias.price else {}),
        }

    def _rewrite(self, alias: Alias) -> dict[str, Any]:
        limit = (
            {"max_output_tokens": alias.max_output_tokens}
            if alias.max_output_tokens is not None
            else {"default_max_output_tokens": self._snapshot.org.default_max_output_tokens}
        )
        return {
            "model": alias.model,
            "max_tokens_field": alias.max_tokens_field,
            "stream_usage": alias.stream_usage,
            "defaults": dict(alias.defaults),
            **limit,
        }

    def listed(self, decision: Listed) -> bytes:
        models = [_model(alias) for alias in decision.aliases]
        body = models[0] if decision.single else {"object": "list", "data": models}
        metadata = {**self._identity(decision.key), "reason": "listed models"}
        return _answer(200, json.dumps(body), ALLOWED, metadata, self._shown())

    def refused(self, refused: Refused) -> bytes:
        alias = {"alias": refused.alias} if refused.alias else {}
        metadata = {**self._identity(refused.key), **alias, "reason": refused.message}
        body = error_body(refused.code, refused.message, refused.param)
        return _answer(CODES[refused.code].status, body, refused.code, metadata, self._shown())

    def _shown(self) -> list[HeaderValueOption]:
        """What every answer to the client says besides, a later filter's refusal included."""
        shown = self._snapshot.org.show_policy_version
        return [_header(contract.POLICY_HEADER, self._snapshot.version)] if shown else []


def _notes(key: Key, alias: Alias, *, is_previous: bool) -> dict[str, str]:
    """What the log says of a call that is allowed, and may not be for long."""
    rule = key.would_deny(alias.name)
    return {
        **({"would_deny": f"{rule.where} would"} if rule else {}),
        **({"credential": "previous"} if is_previous else {}),
    }


def _model(alias: Alias) -> dict[str, Any]:
    # OpenAI's Model object; an alias has no date of its own.
    return {"id": alias.name, "object": "model", "created": 0, "owned_by": "tollhouse"}


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


def _struct(values: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(values)
    return struct


def _header(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
