"""Who is this key, and may it call this alias on this path? Pure.

Order of the questions: key, endpoint, body, alias. A stranger learns nothing but "401", and
every other refusal is made, and logged, under a known key. What is asked of the body and the alias
is in models.py.
"""

from __future__ import annotations

from dataclasses import replace

from authz_service.models import check_model, list_models
from authz_service.verdicts import Call, Decision, Granted, Refused
from authz_service.wording import MODELS_PATH, closed, no_such_endpoint, owner, unread
from tollhouse import endpoints, keys
from tollhouse.policy.compiled import Key, Snapshot

# First segments of OpenAI's and Anthropic's paths that nothing opens: known, so that the answer
# says "not allowed" rather than "no such thing". realtime: docs/decisions/0018-no-realtime.md.
CLOSED_PATHS = frozenset(
    {
        *("audio", "chat", "chatkit", "images", "messages", "organization", "organizations"),
        *("realtime", "responses", "skills", "usage"),
    }
)

REPLACED = "before it was rotated"
"""In the message of `key_expired`: what expired is not the key, but one that it replaced."""


def decide(snapshot: Snapshot, call: Call, now: float) -> Decision:
    """The decision on one call; `now` is seconds since the epoch."""
    found = known(snapshot, call)
    if isinstance(found, Refused):
        return found
    key, sha256 = found
    return decide_with(snapshot, key, sha256, call, now)


def known(snapshot: Snapshot, call: Call) -> tuple[Key, str] | Refused:
    """Whose key this is, whatever it may do, and the SHA-256 that it came with."""
    if not call.api_key:
        return Refused(
            "invalid_api_key",
            "No key was sent. Send your Tollhouse key as 'Authorization: Bearer KEY'.",
        )
    sha256 = keys.sha256_hex(call.api_key)
    key = snapshot.keys_by_hash.get(sha256)
    return (key, sha256) if key else Refused("invalid_api_key", _unknown_key(call.api_key))


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
    """The decision on one call of a key that is known already; of `call.api_key` only the ids of
    stored responses depend."""
    if refused := _check_key(snapshot, key, now):
        return refused
    if call.path == MODELS_PATH or call.path.startswith(MODELS_PATH + "/"):
        return list_models(snapshot, key, call)
    return _check_endpoint(key, call) or check_model(snapshot, key, call)


def _check_key(snapshot: Snapshot, key: Key, now: float) -> Refused | None:
    if key.blocked_at is not None:
        return Refused("key_blocked", _blocked(snapshot, key), key=key)
    if key.expires_at is not None and now >= key.expires_at:
        return Refused(
            "key_expired",
            f"Key {key.id} has expired. Ask {owner(snapshot, key)} for a new one.",
            key=key,
        )
    return None


def _replaced(snapshot: Snapshot, key: Key) -> str:
    return (
        f"This was key {key.id} {REPLACED}, and is no longer valid. Use the new one; "
        f"{owner(snapshot, key)} has it."
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
    return f"Key {key.id} is blocked (at the {key.blocked_at}). Ask {owner(snapshot, key)}."


def _check_endpoint(key: Key, call: Call) -> Refused | None:
    if not call.is_read:
        return unread(key)
    if call.endpoint is not None:
        methods = endpoints.methods_of(call.endpoint)
        is_open = methods is None or call.method in methods
        return None if is_open else no_such_endpoint(key, call)
    first = call.path.removeprefix("/v1/").split("/")[0]
    if call.path.startswith("/v1/") and first in CLOSED_PATHS:
        return closed(key, call)
    return no_such_endpoint(key, call)
