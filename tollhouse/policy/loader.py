"""Reads a policy directory: org.yaml (optional), providers.yaml, models.yaml, teams/, keys/."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tollhouse.policy.documents import Document
from tollhouse.policy.files import OrgFile
from tollhouse.policy.management_files import ManagementFile
from tollhouse.policy.mending import mended
from tollhouse.policy.model_files import ModelsFile
from tollhouse.policy.problems import PolicyError, PolicyProblem
from tollhouse.policy.provider_files import ProvidersFile
from tollhouse.policy.team_files import KeysFile, TeamFile
from tollhouse.policy.tree import M, PolicyTree, Source

_ORG, _PROVIDERS, _MODELS = "org.yaml", "providers.yaml", "models.yaml"
_MANAGEMENT = "management.yaml"
_ROOT_FILES = (_ORG, _PROVIDERS, _MODELS, _MANAGEMENT)
_TEAMS, _KEYS = "teams", "keys"


# What stands in for a file that is broken.
_NO_PROVIDERS = ProvidersFile.model_construct(providers={})
_NO_MODELS = ModelsFile.model_construct(models={}, groups={})


def load(directory: Path, instead: Mapping[str, str | None] | None = None) -> PolicyTree:
    """Read every file of a policy directory, once; as `Loader.load`."""
    return Loader().load(directory, instead)


class Loader:
    """Reads a policy again and again; what did not change keeps its `Source`.

    The text is kept and compared: it is a hundredth of what parsing it takes, and unlike a time
    stamp it cannot be mistaken.
    """

    def __init__(self) -> None:
        self._sources: dict[str, Source[Any]] = {}

    def load(self, directory: Path, instead: Mapping[str, str | None] | None = None) -> PolicyTree:
        """Read every file of a directory; the tree carries the problems of its files, and of a
        file that has any, what is left without them.

        `instead` has the text of some, by name; None: as if it were not there.

        Raises:
            PolicyError: there is no such directory.
        """
        loading = _Loading(directory, instead or {}, self._sources)
        try:
            return loading.load()
        finally:
            self._sources = loading.sources


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


class _Loading:
    def __init__(
        self, directory: Path, instead: Mapping[str, str | None], known: Mapping[str, Source[Any]]
    ) -> None:
        self.sources: dict[str, Source[Any]] = {}
        self._directory = directory
        self._instead = instead
        self._known = known
        self._problems: list[PolicyProblem] = []
        self._broken: set[str] = set()

    def load(self) -> PolicyTree:
        names = self._names()
        org = self._source(_ORG, OrgFile) if _ORG in names else Source(OrgFile(), Document(_ORG))
        providers = self._source(_PROVIDERS, ProvidersFile)
        models = self._source(_MODELS, ModelsFile)
        teams = [self._source(name, TeamFile) for name in names if _is_in(_TEAMS, name)]
        keys = [self._source(name, KeysFile) for name in names if _is_in(_KEYS, name)]
        managed = self._source(_MANAGEMENT, ManagementFile) if _MANAGEMENT in names else None
        return PolicyTree(
            directory=str(self._directory),
            version=_version(self.sources),
            org=org or Source(OrgFile(), Document(_ORG)),
            providers=providers or Source(_NO_PROVIDERS, Document(_PROVIDERS)),
            models=models or Source(_NO_MODELS, Document(_MODELS)),
            teams=tuple(team for team in teams if team),
            keys=tuple(file for file in keys if file),
            management=managed,
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
        gone = {name for name, text in self._instead.items() if text is None}
        names = sorted({*found, *self._instead} - gone)
        return [name for name in names if self._is_known(name)]

    def _is_known(self, name: str) -> bool:
        known = name in _ROOT_FILES or _is_in(_TEAMS, name) or _is_in(_KEYS, name)
        if not known:
            files = f"{', '.join(_ROOT_FILES)}, {_TEAMS}/*.yaml and {_KEYS}/*.yaml"
            message = f"unknown policy file: a policy is {files}"
            self._problems.append(PolicyProblem(name, 1, 1, message))
            self._broken.add(_kind(name))
        return known

    def _source(self, name: str, model: type[M]) -> Source[M] | None:
        source = self._well_formed(name, model)
        if source is None:
            self._broken.add(_kind(name))
        elif not source.document.removed:
            self.sources[name] = source
        return source

    def _well_formed(self, name: str, model: type[M]) -> Source[M] | None:
        text = self._text(name)
        if text is None:
            return None
        known: Source[M] | None = self._known.get(name)
        if known is not None and known.document.text == text:
            return known
        return self._parsed(Document(name, text), model)

    def _text(self, name: str) -> str | None:
        if name in self._instead:
            return self._instead[name]
        try:
            return (self._directory / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            reason = "the file is missing"
        except UnicodeDecodeError:
            reason = "not UTF-8 text"
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        self._problems.append(PolicyProblem(name, 1, 1, reason))
        return None

    def _parsed(self, document: Document, model: type[M]) -> Source[M] | None:
        read = document.read()
        self._problems += read.problems
        if read.data is None and not read.problems:
            self._problems.append(document.problem((), "the file is empty"))
        if read.data is None:
            return None
        left = mended(document, read, model)
        self._problems += left.problems
        if left.model is None:
            return None
        return Source(left.model, left.document, _digest(read.data))


def _kind(name: str) -> str:
    """ "org" of org.yaml, "teams" of any file of that folder."""
    return name.partition("/")[0].partition(".")[0]


def _is_in(folder: str, name: str) -> bool:
    return name.startswith(f"{folder}/") and name.endswith(".yaml")


def _digest(data: object) -> str:
    # Data, not bytes: an edited comment changes no decision, so it makes no new version. Order
    # stays in, for a default's members are sent in the order written.
    canonical = json.dumps(data, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _version(sources: Mapping[str, Source[Any]]) -> str:
    content = "".join(f"{source.digest} {name}\n" for name, source in sources.items())
    return hashlib.sha256(content.encode()).hexdigest()[:12]
