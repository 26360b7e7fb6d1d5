"""A compiled policy as JSON, and back."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, get_origin, get_type_hints

import pydantic
import pydantic_core
from pydantic import ConfigDict, TypeAdapter

from tollhouse.policy.compiled import Alias, Key, Org, Provider, Snapshot, Team, by_hash
from tollhouse.policy.management import Management

_DERIVED = "keys_by_hash"


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _Stored:
    """A `Snapshot` without what follows from the rest."""

    version: str
    source: str
    org: Org
    providers: Mapping[str, Provider]
    aliases: Mapping[str, Alias]
    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    management: Management | None = None


def encode(snapshot: Snapshot) -> bytes:
    """UTF-8 JSON."""
    return pydantic_core.to_json(snapshot, exclude={_DERIVED}, fallback=dict)


def decode(text: bytes) -> Snapshot:
    """The inverse of `encode`. A field that is missing takes its default: an older tollhouse wrote
    it. Raises ValueError, naming the place and no value, for a field that is not known.
    """
    try:
        stored = _adapter().validate_json(text)
    except pydantic.ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
    content = {each.name: _frozen(getattr(stored, each.name)) for each in fields(stored)}
    return Snapshot(**content, keys_by_hash=by_hash(content["keys"]))


@cache
def _adapter() -> TypeAdapter[_Stored]:
    return TypeAdapter(_Stored)


def _frozen(value: Any) -> Any:
    """With read-only mappings, as the compiler makes them."""
    if isinstance(value, dict):
        return MappingProxyType({name: _frozen(each) for name, each in value.items()})
    for name in _mappings_of(value.__class__):
        # It is new, and nobody else has seen it.
        object.__setattr__(value, name, _frozen(getattr(value, name)))
    return value


@cache
def _mappings_of(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass that are mappings."""
    if not is_dataclass(kind):
        return ()
    return tuple(name for name, of in get_type_hints(kind).items() if get_origin(of) is Mapping)
