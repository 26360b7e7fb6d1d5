"""Turns the entries of `allowed_models` and `denied_models` into alias names."""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

from tollhouse.policy.problems import suggestion

TAG = "tag:"
GROUP = "group:"
_WILDCARDS = frozenset("*?[")


class UnknownSelector(Exception):
    """An entry that selects nothing; the message says so and names what is near."""


class Selectors:
    """Selects among the aliases of one policy, given as alias name to its tags.

    An entry is an alias's name, `tag:NAME`, `group:NAME`, or a pattern with `*`, `?` or `[…]` (as
    in a shell, case-sensitive). `unsure` are the prefixes whose names are not all known: one that
    is not may be right, and stands for nothing. `named_only` are allowed by their name alone, never
    by what else selects them: nobody means an upload of files by `*`.
    """

    def __init__(
        self,
        tags_by_alias: Mapping[str, Iterable[str]],
        unsure: Collection[str] = (),
        named_only: Collection[str] = (),
    ) -> None:
        self.named_only = frozenset(named_only)
        self._unsure = frozenset(unsure)
        self._aliases = frozenset(tags_by_alias)
        self._tagged: dict[str, set[str]] = {}
        self._groups: dict[str, frozenset[str]] = {}
        self._shared: dict[frozenset[str], frozenset[str]] = {}
        for alias, tags in tags_by_alias.items():
            for tag in tags:
                self._tagged.setdefault(tag, set()).add(alias)

    def allow(self, entry: str) -> frozenset[str]:
        """As `select`, for an entry of `allowed_models`. Raises UnknownSelector."""
        return self.select(entry) - (self.named_only - {entry})

    def name_group(self, name: str, aliases: Iterable[str]) -> None:
        """From now on `group:NAME` stands for these."""
        self._groups[name] = frozenset(aliases)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selectors) and self._tables == other._tables

    __hash__ = None  # type: ignore[assignment]

    @property
    def _tables(self) -> tuple[object, ...]:
        return (self._aliases, self._tagged, self._groups, self._unsure, self.named_only)

    def shared(self, aliases: frozenset[str]) -> frozenset[str]:
        """The same object for equal sets: many keys have few."""
        return self._shared.setdefault(aliases, aliases)

    def select(self, entry: str) -> frozenset[str]:
        """The aliases an entry stands for, never none.

        Raises:
            UnknownSelector: it stands for none; in a deny list that would protect nothing.
        """
        if entry.startswith(TAG):
            return self._by_tag(entry.removeprefix(TAG))
        if entry.startswith(GROUP):
            return self._by_group(entry.removeprefix(GROUP))
        if _WILDCARDS.intersection(entry):
            return self._by_pattern(entry)
        if entry not in self._aliases:
            raise UnknownSelector(f"unknown model '{entry}'{suggestion(entry, self._aliases)}")
        return frozenset({entry})

    def _by_tag(self, tag: str) -> frozenset[str]:
        if tag not in self._tagged and TAG in self._unsure:
            return frozenset()
        if tag not in self._tagged:
            raise UnknownSelector(f"no model has the tag '{tag}'{suggestion(tag, self._tagged)}")
        return frozenset(self._tagged[tag])

    def _by_group(self, group: str) -> frozenset[str]:
        if group not in self._groups and GROUP in self._unsure:
            return frozenset()
        if group not in self._groups:
            raise UnknownSelector(f"unknown group '{group}'{suggestion(group, self._groups)}")
        return self._groups[group]

    def _by_pattern(self, pattern: str) -> frozenset[str]:
        found = frozenset(alias for alias in self._aliases if fnmatchcase(alias, pattern))
        if not found:
            raise UnknownSelector(f"no model matches '{pattern}'{suggestion('', self._aliases)}")
        return found


class UnknownSelectors(Selectors):
    """Where models.yaml cannot be read: every entry may be right, and stands for nothing."""

    def __init__(self) -> None:
        super().__init__({})

    def select(self, entry: str) -> frozenset[str]:
        """Nothing."""
        return frozenset()
