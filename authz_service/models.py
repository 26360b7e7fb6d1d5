"""May this key call the model that the call is about, and does that serve this endpoint? Pure."""

from __future__ import annotations

from dataclasses import replace

from authz_service import stored
from authz_service.verdicts import Call, Granted, Listed, Refused
from authz_service.wording import (
    MODELS_PATH,
    closed,
    model_shown,
    no_such_endpoint,
    owner,
    path_shown,
    unread,
)
from tollhouse import endpoints
from tollhouse.decisions import PARAMETER_NOT_ALLOWED
from tollhouse.policy.compiled import Alias, Key, ModelRule, Snapshot

# By the first two a provider may answer with another model (LiteLLM's, OpenRouter's); the others
# name what it keeps in the account that all keys share.
_OTHER_MODEL = (
    "names other models, which your key's policy could not be checked for. Leave it out, and call "
    "one model at a time."
)
_KEPT = (
    "names what the provider keeps for all keys of this gateway together, and nothing says whose "
    "it is. Leave it out, and send the content itself, or continue by `previous_response_id`."
)
UNCHECKABLE = {
    "api_base": _OTHER_MODEL,
    "content_policy_fallbacks": _OTHER_MODEL,
    "context_window_fallbacks": _OTHER_MODEL,
    "fallbacks": _OTHER_MODEL,
    "models": _OTHER_MODEL,
    "user_config": _OTHER_MODEL,
    "container": _KEPT,
    "conversation": _KEPT,
    "item_reference": _KEPT,
}

_NO_RESPONSE = (
    "There is no such stored response for this key. The id of a response is bound to the key that "
    "made it, and to a model that the key may still call."
)


def list_models(snapshot: Snapshot, key: Key, call: Call) -> Listed | Refused:
    """What the key may call; of one model, what a call to it would be told."""
    if call.method != "GET":
        return no_such_endpoint(key, call)
    allowed = _callable(snapshot, key)
    if call.path == MODELS_PATH:
        return Listed(key, tuple(allowed), single=False)
    name = call.path.removeprefix(MODELS_PATH + "/")
    found = tuple(alias for alias in allowed if alias.name == name)
    return Listed(key, found, single=True) if found else _model_refused(snapshot, key, call, name)


def check_model(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    """The decision on a call of an endpoint that is open: `call.endpoint` is not None."""
    if call.endpoint in endpoints.UNCHECKED:
        return _check_unchecked(snapshot, key, call)
    if call.endpoint == endpoints.RESPONSE_BY_ID:
        return _check_stored(snapshot, key, call)
    return _check_body(key, call) or _check_alias(snapshot, key, call)


def _callable(snapshot: Snapshot, key: Key) -> list[Alias]:
    """The aliases that the key may call, by name."""
    return [snapshot.aliases[name] for name in sorted(key.models)]


def _check_unchecked(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    """Nothing in these calls says which model runs: they are open to those who are allowed a name
    that stands for them."""
    endpoint = call.endpoint or ""
    serving = [alias for alias in _callable(snapshot, key) if alias.serves(endpoint)]
    if not serving:
        return closed(key, call)
    if call.model not in (None, *(alias.name for alias in serving)):
        return closed(key, call)  # a tool asks about an alias that does not serve this
    if len(serving) > 1:
        names = ", ".join(alias.name for alias in serving)
        return Refused(
            "endpoint_not_allowed",
            f"Several names of your key's policy serve {path_shown(call)} ({names}), and "
            f"nothing in the request says which is meant. Ask {owner(snapshot, key)} to allow "
            "one of them only.",
            key=key,
        )
    return Granted(key, serving[0], endpoint)


def _check_stored(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    bind = _bind_of(call)
    found = stored.find(call.response_id or "", bind, _callable(snapshot, key))
    if found is None:
        return Refused("response_not_found", _NO_RESPONSE, param="response_id", key=key)
    alias, _, response = found
    return Granted(key, alias, endpoints.RESPONSE_BY_ID, bind=bind, stored=response)


def _bind_of(call: Call) -> str:
    return stored.bind_of(call.api_key) if call.api_key else ""


def _check_body(key: Key, call: Call) -> Refused | None:
    if call.body_error is not None:
        code, message = call.body_error
        param = "model" if code == "model_missing" else None
        return Refused(code, message, param=param, key=key)
    if call.model is None:
        # request.lua always says one or the other; silence means that it failed.
        return unread(key)
    if call.unbounded in UNCHECKABLE:
        message = f"`{call.unbounded}` {UNCHECKABLE[call.unbounded]}"
        return Refused(PARAMETER_NOT_ALLOWED, message, param=call.unbounded, key=key)
    return None


def _check_alias(snapshot: Snapshot, key: Key, call: Call) -> Granted | Refused:
    name, endpoint = call.model or "", call.endpoint or ""
    if name not in key.models:
        return _model_refused(snapshot, key, call, name)
    alias = snapshot.aliases[name]
    if not alias.serves(endpoint):
        return Refused(
            "endpoint_not_allowed",
            f"Model {name} does not serve {path_shown(call)}; it serves "
            f"{', '.join('/v1/' + each for each in sorted(alias.endpoints))}.",
            param="model",
            key=key,
            alias=name,
        )
    if endpoint == endpoints.RESPONSES:
        return _check_responses(snapshot, key, alias, call)
    return Granted(key, alias, endpoint)


def _check_responses(snapshot: Snapshot, key: Key, alias: Alias, call: Call) -> Granted | Refused:
    bind = _bind_of(call)
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
            f"There is no model{model_shown(call, name)} on this gateway. "
            f"GET {MODELS_PATH} lists the ones your key may call.",
            param="model",
            key=key,
        )
    return Refused(
        "model_not_allowed",
        f"Key {key.id} may not call {name}: {_narrowed_by(key.rules, name)}. "
        f"GET {MODELS_PATH} lists the ones it may call; ask {owner(snapshot, key)} for more.",
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
