"""What the policy says of a new key, and its YAML lines, ready to paste under `keys:`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any

from pydantic_core import PydanticCustomError

from tollhouse.policy import rules
from tollhouse.policy.editing import written


class StanzaError(Exception):
    """The key's id, env or another value cannot stand in a policy; the message says why."""


def key_entry(
    key_id: str,
    env: str,
    expires: date | None = None,
    allowed_models: Sequence[str] = (),
    owner: str | None = None,
) -> dict[str, Any]:
    """All but the hash. Raises StanzaError, by the rules that the policy itself is read with."""
    entry: dict[str, Any] = {
        "id": _ruled("id", rules.key_id, key_id),
        "env": _ruled("env", rules.name, env),
    }
    if expires is not None:
        entry["expires"] = _ruled("expires", rules.expiry, expires)
    if allowed_models:
        entry["allowed_models"] = list(allowed_models)
    if owner is not None:
        entry["metadata"] = {"owner": _ruled("owner", rules.line, owner)}
    return entry


def key_stanza(entry: dict[str, Any], sha256: str) -> str:
    """The lines of one key."""
    lines = written.item({"id": entry["id"], "sha256": sha256, **entry})
    return "".join(f"{line}\n" for line in lines)


def _ruled(what: str, rule: Callable[[Any], Any], value: Any) -> Any:
    # Without the value: somebody may have typed a key where its id belongs.
    try:
        return rule(value)
    except PydanticCustomError as error:
        raise StanzaError(f"the key's {what} {error.message()}") from None
