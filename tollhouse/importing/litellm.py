"""A LiteLLM config and its keys as a policy tree: reads, maps, writes, and checks what it wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tollhouse.importing.access import Access
from tollhouse.importing.deployments import deployments
from tollhouse.importing.exports import rows_of
from tollhouse.importing.models import ModelReader, Models, add_group_aliases, group_aliases
from tollhouse.importing.notes import Notes
from tollhouse.importing.providers import Providers, Secrets
from tollhouse.importing.report import Carried, page
from tollhouse.importing.settings import default_timeout, drop_settings, org_of
from tollhouse.importing.sources import read_config, read_export
from tollhouse.importing.teams import TeamReader, Teams
from tollhouse.importing.writing import Block, Entries, document, write
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError


class OutputExists(Exception):
    """The output directory has something in it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """`problems` are those of the services' own loader with what was written."""

    carried: Carried
    notes: Notes
    problems: list[str]


def import_litellm(config_path: Path, export_paths: list[Path], out: Path) -> Imported:
    """Writes a policy tree to `out`, a new or empty directory.

    Raises:
        OutputExists: `out` has something in it.
        SourceError, ExportError: a file cannot be used.
        OSError: the tree cannot be written.
    """
    if out.is_dir() and any(out.iterdir()):
        raise OutputExists(f"{out} is not empty: name a new directory, nothing is overwritten")
    config = read_config(config_path)
    documents = [read_export(path) for path in export_paths]
    notes = Notes()
    export = rows_of(documents, notes)
    found = deployments(config, notes)
    secrets = Secrets([one.params for one in found], notes)
    providers = Providers(secrets, default_timeout(config), notes)
    models = ModelReader(providers, notes).read(found)
    aliases = add_group_aliases(config, models, notes)
    teams = TeamReader(Access(aliases, models.tags, models.left_behind, notes), notes).read(export)
    org = org_of(config, notes)
    drop_settings(config, notes)
    carried = Carried(
        models=len(models.files),
        model_names=len({one.name for one in found} | set(group_aliases(config))),
        providers=len(providers.files),
        teams=len(teams.files),
        keys=teams.keys,
        exported_keys=len(export.keys),
        variables=tuple(sorted({file["api_key"][2:-1] for file in providers.files.values()})),
    )
    files = _documents(org, providers, models, teams, config_path.name)
    write({**files, "IMPORT.md": page(carried, notes)}, out)
    return Imported(carried, notes, _problems(out))


def _problems(out: Path) -> list[str]:
    try:
        load_snapshot(out)
    except PolicyError as error:
        return [f"{out}/{problem}" for problem in error.problems]
    return []


def _documents(
    org: dict[str, Any], providers: Providers, models: Models, teams: Teams, source: str
) -> dict[str, str]:
    heading = f"Imported from LiteLLM's {source}; IMPORT.md says what was not carried over."
    upstreams = {name: Block(file) for name, file in providers.files.items()}
    aliases = {name: Block(file) for name, file in models.files.items()}
    return {
        "org.yaml": document(Block(org), heading),
        "providers.yaml": document(
            Block({"providers": Block(upstreams, providers.comments)}), heading
        ),
        "models.yaml": document(Block({"models": Block(aliases, models.comments)}), heading),
        **{
            f"teams/{name}.yaml": document(_team(file, teams), teams.comments[name])
            for name, file in teams.files.items()
        },
    }


def _team(file: dict[str, Any], teams: Teams) -> Block:
    projects = {name: _project(project, teams) for name, project in file["projects"].items()}
    return Block({**file, "projects": Block(projects) if projects else {}})


def _project(project: dict[str, Any], teams: Teams) -> Block:
    keys = project["keys"]
    comments = {
        position: teams.comments.get(f"key {key['id']}", "") for position, key in enumerate(keys)
    }
    return Block({"keys": Entries(keys, comments)})
