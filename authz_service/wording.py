"""The words that refusals share. None repeats a key, wherever it was sent."""

from __future__ import annotations

import re

from authz_service.verdicts import Call, Refused
from tollhouse import endpoints
from tollhouse.policy.compiled import Key, Snapshot
from tollhouse.policy.rules import ALIAS, KEY_PREFIXES

MODELS_PATH = "/v1/models"

_A_KEY = re.compile(rf"(?:{'|'.join(map(re.escape, KEY_PREFIXES))})[A-Za-z0-9_-]{{12,}}")
_LONGEST = 80


def owner(snapshot: Snapshot, key: Key) -> str:
    """Whom the key's team asks."""
    return snapshot.teams[key.team].owner or "the gateway's operator"


def path_shown(call: Call) -> str:
    """The path of the call, cut and without keys: people paste theirs where a path belongs, and a
    message goes to the log."""
    text = _A_KEY.sub("…", call.path.replace(call.api_key, "…") if call.api_key else call.path)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def model_shown(call: Call, name: str) -> str:
    """ " 'gpt4'" for what can be a name: a prompt or a key that was sent as the model stays out of
    the message, and so of the log."""
    is_key = name.startswith(KEY_PREFIXES) or (call.api_key is not None and call.api_key in name)
    return " of the name you sent" if is_key or ALIAS.fullmatch(name) is None else f" '{name}'"


def unread(key: Key) -> Refused:
    """request.lua said nothing, or not enough: it failed."""
    return Refused("internal_error", "The gateway could not read this request.", key=key)


def closed(key: Key, call: Call) -> Refused:
    """An endpoint that nothing opens for this key."""
    return Refused(
        "endpoint_not_allowed",
        f"{call.method} {path_shown(call)} is not open on this gateway: its model "
        f"cannot be checked against your key's policy. Open endpoints: {_open_endpoints()}.",
        key=key,
    )


def no_such_endpoint(key: Key, call: Call) -> Refused:
    """A path, or a method of it, that does not exist."""
    return Refused(
        "unknown_endpoint",
        f"There is no {call.method} {path_shown(call)} on this gateway. "
        f"Open endpoints: {_open_endpoints()}.",
        key=key,
    )


def _open_endpoints() -> str:
    names = [f"POST /v1/{name}" for name in sorted(endpoints.NAMING_A_MODEL)]
    return ", ".join([*names, f"GET {MODELS_PATH}"])
