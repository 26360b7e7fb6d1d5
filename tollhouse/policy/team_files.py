"""The files under `teams/` and `keys/`, field by field."""

from typing import Annotated

from pydantic import (
    Field,
)

from tollhouse.policy.field_types import (
    AliasName,
    Expiry,
    KeyId,
    KeyMetadata,
    Line,
    Model,
    Name,
    Sha256,
)
from tollhouse.policy.files import LimitsFile, RulesFile


class AccessFile(RulesFile):
    """What a team, a project and a key can each say."""

    # Of this level with one alias alone, beside those of the level as a whole.
    model_limits: dict[AliasName, LimitsFile] = {}
    """Limits for one alias alone, by alias, beside those of the level. Default: none."""


class PreviousFile(Model):
    """What a key was before its rotation: the same key, with the same limits, for a while."""

    sha256: Sha256
    """SHA-256 of the key that was replaced: 64 lowercase hex digits. Required."""
    valid_until: Expiry
    """Until when it is still accepted: a date (through its last second) or a time. Required."""


class KeyFile(AccessFile):
    """One internal key of a project."""

    id: KeyId
    """The key's name in logs; unique. Required."""
    sha256: Sha256
    """SHA-256 of the key: 64 hex digits, as `tollhouse keys new` prints them. Required."""
    previous: Annotated[list[PreviousFile], Field(max_length=4)] = []
    """What the key was before rotations, at most 4; default none."""
    env: Name | None = None
    """Its environment; required where org.yaml names any, else a word for logs. Default: none."""
    expires: Expiry | None = None
    """A date (valid through its last second) or a time; default: never."""
    metadata: KeyMetadata = {}
    """Text, numbers or booleans by name, for logs, at most 64; default none."""


class ProjectFile(AccessFile):
    """One project of a team."""

    environments: dict[Name, RulesFile] = {}
    """What holds here for keys of one environment, by its name; default none."""
    keys: list[KeyFile] = []
    """The project's keys; default none."""


class TeamFile(AccessFile):
    """One file under `teams/`."""

    team: Name
    """The team's name; unique. Required."""
    owner: Line | None = None
    """Whom its members ask, named in refusals; default: the org's owner."""
    environments: dict[Name, RulesFile] = {}
    """What holds here for keys of one environment, by its name; default none."""
    projects: dict[Name, ProjectFile] = {}
    """Projects by name; default none."""


class KeysFile(Model):
    """One file under `keys/`: more keys of one project, where others than its team keep them."""

    team: Name
    """A team that has a file under teams/. Required."""
    project: Name
    """A project of that team. Required."""
    keys: list[KeyFile] = []
    """More keys of that project; default none."""
