"""JSON Schema of the policy files, for editors: completion, hover, errors while typing.

Draft 7, the one that yaml-language-server knows best. A schema sees one file: it refuses nothing
that the loader takes, and leaves to the loader what it cannot say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from tollhouse.policy.files import OrgFile
from tollhouse.policy.management_files import ManagementFile
from tollhouse.policy.model_files import ModelsFile
from tollhouse.policy.provider_files import ProvidersFile
from tollhouse.policy.team_files import KeysFile, TeamFile

FILES: Mapping[str, type[BaseModel]] = {
    "org": OrgFile,
    "providers": ProvidersFile,
    "models": ModelsFile,
    "team": TeamFile,
    "keys": KeysFile,
    "management": ManagementFile,
}
"""The kinds of policy files, by the name of their schema."""

_DRAFT = "http://json-schema.org/draft-07/schema#"


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Decimal):
            return int(dft)
        return {} if isinstance(dft, BaseModel) else super().encode_default(dft)


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of one kind of file.

    Raises:
        KeyError: there is no such kind.
    """
    schema = FILES[kind].model_json_schema(schema_generator=_Generator)
    return {"$schema": _DRAFT, "title": f"Tollhouse policy: {kind}", **_tidy(schema)}


def schema_text(kind: str) -> str:
    """The schema as it is kept in a file."""
    return json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def write_schemas(directory: Path, kinds: list[str]) -> list[Path]:
    """Write KIND.json for each. Raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{kind}.json" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        path.write_text(schema_text(kind), encoding="utf-8")
    return paths


def _tidy(node: Any) -> Any:
    """Without generated titles; with names of members checked and not only matched."""
    if isinstance(node, list):
        return [_tidy(each) for each in node]
    if not isinstance(node, dict):
        return node
    tidied = {
        name: {each: _tidy(sub) for each, sub in value.items()}
        if name in ("properties", "$defs")
        else _tidy(value)
        for name, value in node.items()
        if not (name == "title" and isinstance(value, str))
    }
    if "patternProperties" in tidied:
        [(pattern, values)] = tidied.pop("patternProperties").items()
        return {**tidied, "propertyNames": {"pattern": pattern}, "additionalProperties": values}
    if isinstance(text := tidied.get("description"), str):
        tidied["description"] = " ".join(text.split())
    return tidied
