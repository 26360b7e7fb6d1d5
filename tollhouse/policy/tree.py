"""A policy directory after reading: each file well-formed, not yet checked against the others."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from tollhouse.policy.documents import Document, Path
from tollhouse.policy.field_types import Model
from tollhouse.policy.files import OrgFile
from tollhouse.policy.management_files import ManagementFile
from tollhouse.policy.model_files import ModelsFile
from tollhouse.policy.problems import PolicyProblem
from tollhouse.policy.provider_files import ProvidersFile
from tollhouse.policy.team_files import KeysFile, TeamFile

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Source(Generic[M]):
    """One file: its model, its document for the positions, and the SHA-256 (hex) of its data."""

    model: M
    document: Document
    digest: str = ""

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> PolicyProblem:
        """A problem with the value (or the key) at `path` of this file."""
        return self.document.problem(path, message, at_key=at_key)


@dataclass(frozen=True, slots=True)
class PolicyTree:
    """All files of one directory. `version` is 12 hex digits over their content.

    `problems` are those of single files. A file that has any is there without what is wrong in it
    (`Document.removed`), or, if nothing can be made of it, something empty stands in: `broken` has
    the kinds of these ("org", "providers", "models", "teams", "management"). Nothing is said of
    what depends on what is not there.
    """

    directory: str
    version: str
    org: Source[OrgFile]
    providers: Source[ProvidersFile]
    models: Source[ModelsFile]
    teams: tuple[Source[TeamFile], ...]
    keys: tuple[Source[KeysFile], ...] = ()
    management: Source[ManagementFile] | None = None
    problems: tuple[PolicyProblem, ...] = ()
    broken: frozenset[str] = frozenset()
