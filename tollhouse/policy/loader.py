"""Reads a policy directory: org.yaml (optional), providers.yaml, models.yaml, teams/, keys/."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from tollhouse.policy.documents import Document, read_document
from tollhouse.policy.files import KeysFile, ModelsFile, OrgFile, ProvidersFile, TeamFile
from tollhouse.policy.problems import PolicyError, PolicyProblem
from tollhouse.policy.tree import M, PolicyTree, Source
from tollhouse.policy.wording import problems_of

_ORG, _PROVIDERS, _MODELS = "org.yaml", "providers.yaml", "models.yaml"
_ROOT_FILES = (_ORG, _PROVIDERS, _MODELS)
_TEAMS, _KEYS = "teams", "keys"
# What stands in for a file that is broken.
_NO_PROVIDERS = ProvidersFile.model_construct(providers={})
_NO_MODELS = ModelsFile.model_construct(models={}, groups={})


def load(directory: Path, instead: Mapping[str, str] | None = None) -> PolicyTree:
    """Read every file of a policy directory; the tree carries the problems of its files.

    `instead` has the text of some, by name.

    Raises:
        PolicyError: there is no such directory.
    """
    return _Loader(directory, instead or {}).load()


def policy_files(directory: Path) -> list[Path]:
    """The YAML files of a policy directory, known and unknown, sorted; backups left out.

    Raises:
        OSError: the directory cannot be listed.
    """
    folders = (directory, directory / _TEAMS, directory / _KEYS)
    return sorted(path for folder in folders if folder.is_dir() for path in _yaml_files(folder))


def _yaml_files(folder: Path) -> Iterator[Path]:
    # Editors keep `.x.yaml.swp`, `.#x.yaml`, `#x.yaml#` and `x.yaml~` beside what is edited.
    for path in folder.iterdir():
        if path.suffix in (".yaml", ".yml") and not path.name.startswith((".", "#")):
            yield path


class _Loader:
    def __init__(self, directory: Path, instead: Mapping[str, str]) -> None:
        self._directory = directory
        self._instead = instead
        self._problems: list[PolicyProblem] = []
        self._broken: set[str] = set()
        self._documents: list[Document] = []

    def load(self) -> PolicyTree:
        names = self._names()
        org = self._source(_ORG, OrgFile, present=_ORG in names)
        providers = self._source(_PROVIDERS, ProvidersFile)
        models = self._source(_MODELS, ModelsFile)
        teams = [self._source(name, TeamFile) for name in names if _is_in(_TEAMS, name)]
        keys = [self._source(name, KeysFile) for name in names if _is_in(_KEYS, name)]
        return PolicyTree(
            directory=str(self._directory),
            version=_version(self._documents),
            org=org or Source(OrgFile(), Document(_ORG)),
            providers=providers or Source(_NO_PROVIDERS, Document(_PROVIDERS)),
            models=models or Source(_NO_MODELS, Document(_MODELS)),
            teams=tuple(team for team in teams if team),
            keys=tuple(file for file in keys if file),
            problems=tuple(self._problems),
            broken=frozenset(self._broken),
        )

    def _names(self) -> list[str]:
        try:
            paths = policy_files(self._directory)
            if not self._directory.is_dir():
                raise NotADirectoryError(self._directory)
        except OSError:
            problem = PolicyProblem(str(self._directory), 1, 1, "not a directory that can be read")
            raise PolicyError([problem]) from None
        found = [path.relative_to(self._directory).as_posix() for path in paths]
        names = sorted({*found, *self._instead})
        return [name for name in names if self._is_known(name)]

    def _is_known(self, name: str) -> bool:
        known = name in _ROOT_FILES or _is_in(_TEAMS, name) or _is_in(_KEYS, name)
        if not known:
            files = f"{', '.join(_ROOT_FILES)}, {_TEAMS}/*.yaml and {_KEYS}/*.yaml"
            message = f"unknown policy file: a policy is {files}"
            self._problems.append(PolicyProblem(name, 1, 1, message))
            self._broken.add(_kind(name))
        return known

    def _source(self, name: str, model: type[M], *, present: bool = True) -> Source[M] | None:
        source = self._well_formed(name, model, present=present)
        if source is None:
            self._broken.add(_kind(name))
        return source

    def _well_formed(self, name: str, model: type[M], *, present: bool) -> Source[M] | None:
        document = self._read(name) if present else Document(name, data={})
        if document is None:
            return None
        if document.data is None:
            self._problems.append(document.problem((), "the file is empty"))
            return None
        try:
            return Source(model.model_validate(document.data), document)
        except ValidationError as error:
            self._problems += problems_of(document, model, error)
            return None

    def _read(self, name: str) -> Document | None:
        try:
            text = self._text(name)
        except FileNotFoundError:
            reason = "the file is missing"
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        else:
            return self._parse(name, text)
        self._problems.append(PolicyProblem(name, 1, 1, reason))
        return None

    def _text(self, name: str) -> str:
        if name in self._instead:
            return self._instead[name]
        return (self._directory / name).read_text(encoding="utf-8")

    def _parse(self, name: str, text: str) -> Document | None:
        document, problems = read_document(name, text)
        self._problems += problems
        self._documents.append(document)
        return None if problems else document


def _kind(name: str) -> str:
    """ "org" of org.yaml, "teams" of any file of that folder."""
    return name.partition("/")[0].partition(".")[0]


def _is_in(folder: str, name: str) -> bool:
    return name.startswith(f"{folder}/") and name.endswith(".yaml")


def _version(documents: list[Document]) -> str:
    # Data, not bytes: an edited comment changes no decision, so it makes no new version. Order
    # stays in, for a default's members are sent in the order written.
    content = {document.file: document.data for document in documents}
    canonical = json.dumps(content, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
