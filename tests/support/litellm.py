"""Imports small LiteLLM configs for tests, and reads back what was written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import yaml

from tollhouse.importing.litellm import Imported, import_litellm

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/litellm"

MODELS = """\
model_list:
  - model_name: small
    litellm_params: {model: openai/gpt-4o-mini}
    model_info: {access_groups: [cheap]}
  - model_name: large
    litellm_params: {model: openai/gpt-4o}
"""
"""Two aliases of one provider; `small` is in the access group `cheap`."""

SHA256 = "a" * 64


@dataclass(frozen=True)
class Result:
    """What an import wrote to `out` and said."""

    out: Path
    done: Imported

    def read(self, name: str) -> Any:
        return yaml.safe_load((self.out / name).read_text(encoding="utf-8"))

    @property
    def models(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read("models.yaml")["models"]
        return found

    @property
    def providers(self) -> dict[str, Any]:
        found: dict[str, Any] = self.read("providers.yaml")["providers"]
        return found

    @property
    def teams(self) -> dict[str, Any]:
        files = sorted((self.out / "teams").glob("*.yaml"))
        read = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
        return {file["team"]: file for file in read}

    @property
    def keys(self) -> dict[str, Any]:
        projects = [
            project for file in self.teams.values() for project in file["projects"].values()
        ]
        return {key["id"]: key for project in projects for key in project["keys"]}

    @property
    def not_carried(self) -> list[str]:
        return [str(note) for note in self.done.notes.not_carried]

    @property
    def to_know(self) -> list[str]:
        return [str(note) for note in self.done.notes.to_know]

    @property
    def everything(self) -> str:
        """All files and all that is said."""
        files = sorted(path for path in self.out.rglob("*") if path.is_file())
        said = [*self.not_carried, *self.to_know, *self.done.problems]
        return "\n".join([*(path.read_text(encoding="utf-8") for path in files), *said])


def imported(directory: Path, config: str = MODELS, *exports: Any) -> Result:
    """Import a config and exports (Python values, written as JSON)."""
    (directory / "config.yaml").write_text(dedent(config), encoding="utf-8")
    paths = []
    for position, export in enumerate(exports):
        paths.append(directory / f"export-{position}.json")
        paths[-1].write_text(json.dumps(export), encoding="utf-8")
    out = directory / "out"
    return Result(out, import_litellm(directory / "config.yaml", paths, out))


def with_model(directory: Path, params: str, info: str = "{}", more: str = "") -> Result:
    """Import one more model, `it`; `params` and `info` are flow mappings."""
    entry = f"  - model_name: it\n    litellm_params: {params}\n    model_info: {info}\n"
    return imported(directory, f"{MODELS}{entry}{dedent(more)}")


def with_key(directory: Path, **fields: Any) -> Result:
    """Import one key, `it`, of no team unless a field says so."""
    return imported(directory, MODELS, [{"token": SHA256, "key_alias": "it", **fields}])
