"""Definitions as plain data, as they are written in the policy. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tollhouse.policy.management_files import TokenFile
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.team_files import KeyFile, ProjectFile, TeamFile

Data = dict[str, Any]


def of_key(key: KeyFile) -> Data:
    """Every field that is written, the hash too."""
    return _dumped(key)


def of_team(team: TeamFile) -> Data:
    """All but its projects."""
    return _dumped(team, exclude={"projects"})


def of_project(project: ProjectFile) -> Data:
    """All but its keys."""
    return _dumped(project, exclude={"keys"})


def of_model(model: ModelFile) -> Data:
    """Defaults as the values that their JSON text is of."""
    data = _dumped(model)
    if "defaults" in data:
        texts = data["defaults"].items()
        data["defaults"] = {name: json.loads(text, parse_float=Decimal) for name, text in texts}
    return data


def of_token(token: TokenFile) -> Data:
    """Every field that is written, the hash too."""
    return _dumped(token)


def etag(data: Mapping[str, Any]) -> str:
    """Strong, without its quotes."""
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> Data:
    """JSON Merge Patch (RFC 7386) of one level: null takes out, what is not named stays."""
    new = {**old, **changes}
    return {name: value for name, value in new.items() if value is not None}


def full(fields: Mapping[str, Any]) -> Data:
    """Without what says nothing: null, empty lists and mappings. An empty `allowed_models` stays:
    it allows nothing."""
    return {
        name: value
        for name, value in fields.items()
        if value is not None and (name == "allowed_models" or value not in ([], {}))
    }


def _dumped(model: BaseModel, exclude: Iterable[str] = ()) -> Data:
    # A time is a date to the models, and pydantic warns of what is more than its field says.
    return model.model_dump(exclude_unset=True, exclude=set(exclude), warnings=False)
