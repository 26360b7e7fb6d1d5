"""What `metadata` of a request means: some of its names are fields of the policy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from console.edits.data import Data
from console.problems import ManageError
from console.shapes.keys import KeyCreate, KeyPatch
from console.shapes.limits import Limits
from console.shapes.reading import read_fields
from tollhouse.keyring.actions import BLOCKED_BY, REASON

ENV, COST = "env", "max_cost_per_month"
_MONTHLY = "monthly_spend_usd"
_RESERVED = (REASON, BLOCKED_BY)


@dataclass(frozen=True, slots=True)
class Meant:
    """`metadata` without what is written elsewhere. `env` and `limits` are there (in `asked`) if
    the request says them, in whichever place; null removes."""

    metadata: Data | None
    asked: Data


def meant(asked: KeyCreate | KeyPatch) -> Meant:
    """Raises ManageError `invalid_request` for reserved names, and where two places differ."""
    fields: Data = {}
    if ENV in asked.model_fields_set:
        fields[ENV] = asked.env
    if "limits" in asked.model_fields_set:
        fields["limits"] = None if asked.limits is None else asked.limits.asked
    if asked.metadata is None:
        return Meant(None, fields)
    for name in _RESERVED:
        if name in asked.metadata:
            message = f"'metadata.{name}' is written by block and unblock: leave it out"
            raise ManageError("invalid_request", message, param=f"metadata.{name}")
    _take_env(asked.metadata, fields)
    _take_cost(asked.metadata, fields)
    rest = {name: value for name, value in asked.metadata.items() if name not in (ENV, COST)}
    return Meant(rest, fields)


def _take_env(metadata: Mapping[str, Any], fields: Data) -> None:
    if ENV not in metadata:
        return
    named = {"env": metadata[ENV]}
    env = None if named["env"] is None else read_fields(KeyPatch, named).env
    if ENV in fields and fields[ENV] != env:
        raise _both("env", "metadata.env")
    fields[ENV] = env


def _take_cost(metadata: Mapping[str, Any], fields: Data) -> None:
    if COST not in metadata:
        return
    cost = _usd(metadata[COST])
    limits: Data = fields.get("limits") or {}
    if _MONTHLY in limits and limits[_MONTHLY] != cost:
        raise _both(f"limits.{_MONTHLY}", f"metadata.{COST}")
    fields["limits"] = {**limits, _MONTHLY: cost}


def _usd(cost: Any) -> Decimal | None:
    if cost is None:
        return None
    try:
        return read_fields(Limits, {_MONTHLY: cost}).monthly_spend_usd
    except ManageError as error:
        raise ManageError(error.code, error.message, param=f"metadata.{COST}") from None


def _both(one: str, other: str) -> ManageError:
    message = f"'{one}' and '{other}' mean the same and differ: give one"
    return ManageError("invalid_request", message, param=other)
