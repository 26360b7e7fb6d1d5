"""Ids of responses that a provider keeps, bound to the key whose call made them.

A client sees `RAW.TAG.MAC`: the provider's own id, the deployment that has it, and a code that only
the same key can have got: HMAC-SHA256 over `RAW.TAG`, its secret derived from the key itself. So no
store is asked, every replica agrees, and an id that leaks is of no use with another key. After a
rotation the ids of the old key need the old key, for as long as that is accepted.

envoy/lua/ids.lua makes them as they pass; a test holds the two together.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache

from authz_service.verdicts import Stored
from tollhouse.endpoints import RESPONSES
from tollhouse.policy.compiled import Alias, Deployment

_PURPOSE = b"tollhouse stored responses"
_TAG_DIGITS = 10
_MAC_DIGITS = 32


def bind_of(api_key: str) -> str:
    """The secret of a key's response ids: 64 hex digits. The key cannot be found from it."""
    return hmac.new(api_key.encode(), _PURPOSE, hashlib.sha256).hexdigest()


@lru_cache(maxsize=4096)
def tag_of(alias: str, provider: str, model: str) -> str:
    """10 hex digits for one deployment of an alias: an id tells nobody who the provider is."""
    named = "\n".join((alias, provider, model)).encode()
    return hashlib.sha256(named).hexdigest()[:_TAG_DIGITS]


def shown_id(raw_id: str, tag: str, bind: str) -> str:
    """The id that a client sees."""
    return f"{raw_id}.{tag}.{_mac(raw_id, tag, bind)}"


def find(
    shown: str, bind: str, aliases: Iterable[Alias]
) -> tuple[Alias, Deployment, Stored] | None:
    """The stored response of an id that was shown to the key of `bind`; None of any other, and of
    one whose deployment is none of these aliases'."""
    parts = shown.rsplit(".", 2)
    if len(parts) != len(("raw", "tag", "mac")):
        return None
    raw_id, tag, mac = parts
    if not hmac.compare_digest(mac.encode(), _mac(raw_id, tag, bind).encode()):
        return None
    for alias in aliases:
        for each in alias.deployments_for(RESPONSES) if alias.serves(RESPONSES) else ():
            if tag_of(alias.name, each.provider, each.model) == tag:
                return alias, each, Stored(raw_id, each.provider)
    return None


def _mac(raw_id: str, tag: str, bind: str) -> str:
    signed = f"{raw_id}.{tag}".encode()
    return hmac.new(bind.encode(), signed, hashlib.sha256).hexdigest()[:_MAC_DIGITS]
