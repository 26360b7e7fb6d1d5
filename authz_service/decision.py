"""Who is this key, and may it call this alias on this path? Pure.

Order of the questions: key, endpoint, body, alias. A stranger learns nothing but "401", and
every other refusal is made, and logged, under a known key.
"""

from __future__ import annotations

import re
from dataclasses import replace

from authz_service import stored
from authz_service.verdicts import Call, Decision, Granted, Listed, Refused
from tollhouse import endpoints, keys
from tollhouse.decisions import PARAMETER_NOT_ALLOWED
from tollhouse.policy.compiled import Alias, Key, ModelRule, Snapshot
from tollhouse.policy.rules import ALIAS, KEY_PREFIXES

MODELS_PATH = "/v1/models"

# First segments of OpenAI's and Anthropic's paths that nothing opens: known, so that the answer
# says "not allowed" rather than "no such thing". realtime: docs/decisions/0018-no-realtime.md.
CLOSED_PATHS = frozenset(
    {
        *("audio", "chat", "chatkit", "images", "messages", "organization", "organizations"),
        *("realtime", "responses", "skills", "usage"),
    }
)

# Parameters by which a provider may answer with another model (LiteLLM's, OpenRouter's).
OTHER_MODELS = ("fallbacks", "models")

_A_KEY = re.compile(rf"(?:{'|'.join(map(re.escape, KEY_PREFIXES))})[A-Za-z0-9_-]{{12,}}")

REPLACED = "before it was rotated"
"""In the message of `key_expired`: what expired is not the key, but one that it replaced."""


def decide(snapshot: Snapshot, call: Call, now: float) -> Decision:
    """The decision on one call; `now` is seconds since the epoch."""
    if not call.api_key:
        return Refused(
            "invalid_api_key",
            "No key was sent. Send your Tollhouse key as 'Authorization: Bearer KEY'.",
        )
    sha256 = keys.sha256_hex(call.api_key)
    key = snapshot.keys_by_hash.get(sha256)
    if key is None:
        return Refused("invalid_api_key", _unknown_key(call.api_key))
    return decide_with(snapshot, key, sha256, call, now)


def decide_with(snapshot: Snapshot, key: Key, sha256: str, call: Call, now: float) -> Decision:
    """The decision on one call that came with one of a key's hashes: its own, or one that it
    replaced."""
    if sha256 == key.sha256:
        return decide_for(snapshot, key, call, now)
    if now >= key.previous[sha256]:
        return Refused("key_expired", _replaced(snapshot, key), key=key)
    decision = decide_for(snapshot, key, call, now)
    return replace(decision, is_previous=True) if isinstance(decision, Granted) else decision


def decide_for(snapshot: Snapshot, key: Key, call: Call, now: float) -> Decision:
    """The decision on one call of a key that is known already; `call.api_key` is not read."""
    if refused := _check_key(snapshot, key, now):
        return refused
    if call.path == MODELS_PATH or call.path.startswith(MODELS_PATH + "/"):
        return _list_models(snapshot, key, call)
    return _check_endpoint(key, call) or _check_call(snapshot, key, call)


def _check_call(snapshot: Snapshot, key: Key, call: Call) -> Decision:
    if call.endpoint in endpoints.UNCHECKED:
        return _check_unchecked(snapshot, key, call)
    if call.endpoint == endpoints.RESPONSE_BY_ID:
        return _check_stored(snapshot, key, call)
    return _check_body(key, call) or _check_alias(snapshot, key, call)


def _check_key(snapshot: Snapshot, key: Key, now: float) -> Refused | None:
    if key.blocked_at is not None:
        return Refused("key_blocked", _blocked(snapshot, key), key=key)
    if key.expires_at is not None and now >= key.expires_at:
        return Refused(
            "key_expired",
            f"Key {key.id} has expired. Ask {_owner(snapshot, key)} for a new one.",
            key=key,
        )
    return None


def _replaced(snapshot: Snapshot, key: Key) -> str:
    return (
        f"This was key {key.id} {REPLACED}, and is no longer valid. Use the new one; "
        f"{_owner(snapshot, key)} has it."
    )


def _unknown_key(api_key: str) -> str:
    if api_key.startswith(keys.PREFIX) and not keys.looks_valid(api_key):
        return "This key is mistyped or cut short: its checksum does not match. Copy it again."
    if api_key.startswith(keys.MANAGEMENT_PREFIX):
        return "This is a management token: it is for /manage, and calls no model. Use a key."
    return "This key is not known here. Use a key issued for this gateway, not a provider's key."


def _blocked(snapshot: Snapshot, key: Key) -> str:
    if key.blocked_at == "demo":
        return (
            f"Key {key.id} is a published demo key, which only 'tollhouse up' accepts. "
            "Make your own with 'tollhouse keys new'."
        )
    return f"Key {key.id} is blocked (at the {key.blocked_at}). Ask {_owner(snapshot, key)}."


def _owner(snapshot: Snapshot, key: Key) -> str:
    return snapshot.teams[key.team].owner or "the gateway's operator"


def _callable(snapshot: Snapshot, key: Key) -> list[Alias]:
    """The aliases that the key may call, by name."""
    return [snapshot.aliases[name] for name in sorted(key.models)]


def _list_models(snapshot: Snapshot, key: Key, call: Call) -> Listed | Refused:
    if call.method != "GET":
        return _no_such_endpoint(key, call)
    allowed = _callable(snapshot, key)
    if call.path == MODELS_PATH:
        return Listed(key, tuple(allowed), single=False)
    name = call.path.removeprefix(MODELS_PATH + "/")
    found = tuple(alias for alias in allowed if alias.name == name)
    return Listed(key, found, single=True) if found else _model_refused(snapshot, key, call, name)


def _check_endpoint(key: Key, call: Call) -> Refused | None:
    if not call.is_read:
        return _unread(key)
    if call.endpoint is not None:
        methods = endpoints.methods_of(call.endpoint)
        return None if methods is None or call.method in methods else _closed(key, call)
    first = call.path.removeprefix("/v1/").split("/")[0]
    if call.path.startswith("/v1/") and first in CLOSED_PATHS:
        return _closed(key, call)
    return _no_such_endpoint(key, call)


def _closed(key: Key, call: Call) -> Refused:
    return Refused(
        "endpoint_not_allowed",
        f"{call.method} {_shown(call, call.path)} is not open on this gateway: its model "
        f"cannot be checked against your key's policy. Open endpoints: {_open_endpoints()}.",
        key=key,
    )


def _check_unchecked(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    """Nothing in these calls says which model runs: they are open to those who are allowed a name
    that stands for them."""
    assert call.endpoint is not None  # noqa: S101 - decide_for asks after it
    serving = [alias for alias in _callable(snapshot, key) if alias.serves(call.endpoint)]
    if not serving:
        return _closed(key, call)
    if len(serving) > 1:
        names = ", ".join(alias.name for alias in serving)
        return Refused(
            "endpoint_not_allowed",
            f"Several names of your key's policy serve {_shown(call, call.path)} ({names}), and "
            f"nothing in the request says which is meant. Ask {_owner(snapshot, key)} to allow "
            "one of them only.",
            key=key,
        )
    return Granted(key, serving[0], call.endpoint)


def _check_stored(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    bind = stored.bind_of(call.api_key) if call.api_key else ""
    found = stored.find(call.response_id or "", bind, _callable(snapshot, key))
    if found is None:
        return Refused("response_not_found", _NO_RESPONSE, param="response_id", key=key)
    alias, _, response = found
    return Granted(key, alias, endpoints.RESPONSE_BY_ID, bind=bind, stored=response)


_NO_RESPONSE = (
    "There is no such stored response for this key. The id of a response is bound to the key that "
    "made it, and to a model that the key may still call."
)


def _no_such_endpoint(key: Key, call: Call) -> Refused:
    return Refused(
        "unknown_endpoint",
        f"There is no {call.method} {_shown(call, call.path)} on this gateway. "
        f"Open endpoints: {_open_endpoints()}.",
        key=key,
    )


def _open_endpoints() -> str:
    names = [f"POST /v1/{name}" for name in sorted(endpoints.NAMING_A_MODEL)]
    return ", ".join([*names, f"GET {MODELS_PATH}"])


def _shown(call: Call, sent: str) -> str:
    # People paste their key where a path or a model belongs; a message goes to the log.
    text = _A_KEY.sub("…", sent.replace(call.api_key, "…") if call.api_key else sent)
    return text if len(text) <= 80 else text[:80] + "…"


def _model_shown(call: Call, name: str) -> str:
    # The message goes to the log: a prompt or a key that was sent as the model stays out of it.
    is_key = name.startswith(KEY_PREFIXES) or (call.api_key is not None and call.api_key in name)
    return " of the name you sent" if is_key or ALIAS.fullmatch(name) is None else f" '{name}'"


def _check_body(key: Key, call: Call) -> Refused | None:
    if call.body_error is not None:
        code, message = call.body_error
        param = "model" if code == "model_missing" else None
        return Refused(code, message, param=param, key=key)
    if call.model is None:
        # request.lua always says one or the other; silence means that it failed.
        return _unread(key)
    if call.unbounded in OTHER_MODELS:
        return Refused(
            PARAMETER_NOT_ALLOWED,
            f"`{call.unbounded}` names other models, which your key's policy could not be checked "
            "for. Leave it out, and call one model at a time.",
            param=call.unbounded,
            key=key,
        )
    return None


def _unread(key: Key) -> Refused:
    return Refused("internal_error", "The gateway could not read this request.", key=key)


def _check_alias(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    name, endpoint = call.model or "", call.endpoint or ""
    if name not in key.models:
        return _model_refused(snapshot, key, call, name)
    alias = snapshot.aliases[name]
    if not alias.serves(endpoint):
        return Refused(
            "endpoint_not_allowed",
            f"Model {name} does not serve {_shown(call, call.path)}; it serves "
            f"{', '.join('/v1/' + each for each in sorted(alias.endpoints))}.",
            param="model",
            key=key,
            alias=name,
        )
    if endpoint == endpoints.RESPONSES:
        return _check_responses(snapshot, key, alias, call)
    return Granted(key, alias, endpoint)


def _check_responses(snapshot: Snapshot, key: Key, alias: Alias, call: Call) -> Granted | Refused:
    bind = stored.bind_of(call.api_key) if call.api_key else ""
    granted = Granted(key, alias, endpoints.RESPONSES, bind=bind)
    if call.response_id is None:
        return granted
    found = stored.find(call.response_id, bind, _callable(snapshot, key))
    if found is None:
        message = _NO_RESPONSE
    elif any(each.provider == found[1].provider for each in alias.deployments):
        return replace(granted, stored=found[2])
    else:
        message = (
            f"The previous response was made by {found[0].name}, and {alias.name} cannot read it. "
            f"Call {found[0].name}, or send the conversation itself as `input`."
        )
    return Refused("response_not_found", message, "previous_response_id", key, alias.name)


def _model_refused(snapshot: Snapshot, key: Key, call: Call, name: str) -> Refused:
    if name not in snapshot.aliases:
        return Refused(
            "model_not_found",
            f"There is no model{_model_shown(call, name)} on this gateway. "
            f"GET {MODELS_PATH} lists the ones your key may call.",
            param="model",
            key=key,
        )
    return Refused(
        "model_not_allowed",
        f"Key {key.id} may not call {name}: {_narrowed_by(key.rules, name)}. "
        f"GET {MODELS_PATH} lists the ones it may call; ask {_owner(snapshot, key)} for more.",
        param="model",
        key=key,
        alias=name,
    )


def _narrowed_by(rules: tuple[ModelRule, ...], alias: str) -> str:
    for rule in rules:
        if alias in rule.denied:
            return f"{rule.where} denies it"
        if not rule.permits(alias):
            return f"it is not among the allowed_models of {rule.where}"
    return "no level of its policy has allowed_models"
