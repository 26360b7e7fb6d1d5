"""A change in words, and the subjects that it can be said of at once. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from tollhouse.policy.compiled import Key

Direction = Literal["narrower", "wider", "other"]

Level = Literal["all", "each", "named"]

EVERYONE, MODELS, PROVIDERS = "everyone", "models", "providers"
MANAGEMENT = "management"
"""Groups beside those of the teams, which have the team's name."""

# Groups are told from teams by this: a team's name may be "models".
_TEAM = "team "

ACCESS_LOST, ACCESS_GAINED, LIMIT, SETTING = range(4)
"""How a change ranks, the most important first."""


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence. `group` is `EVERYONE`, `MODELS`, `PROVIDERS`, `MANAGEMENT` or "team NAME"."""

    group: str
    rank: int
    direction: Direction
    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a key: with several nouns it is said once ("loses a, b and c").

    `one` is the verb of one subject, `many` that of several. `level`: of what it is true: of all
    calls of a project or team whose keys it is true of; of each of these keys; or only of keys
    that are named.
    """

    one: str
    many: str
    rank: int
    direction: Direction
    noun: str | None = None
    level: Level = "all"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a sentence is about; several keys are `many`."""

    group: str
    name: str
    many: bool = False


def team_group(team: str) -> str:
    """The group of a team's changes."""
    return _TEAM + team


def listing(words: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c", sorted."""
    names = sorted(words)
    return " and ".join([*([", ".join(names[:-1])] if names[1:] else []), *names[-1:]])


def sentences(
    said: Mapping[Said, frozenset[str]], everybody: Mapping[str, Key]
) -> Iterator[Change]:
    """What is said of keys (by id), each at the widest level of which it is true."""
    nouns: dict[tuple[Subject, str, int, Direction], set[str]] = {}
    for what, ids in said.items():
        for subject in _subjects(ids, everybody, what.level):
            verb = what.many if subject.many else what.one
            found = nouns.setdefault((subject, verb, what.rank, what.direction), set())
            found |= {what.noun} if what.noun else set()
    for (subject, verb, rank, direction), named in nouns.items():
        text = f"{subject.name} {verb} {listing(named)}".rstrip().replace(" :", ":", 1)
        yield Change(subject.group, rank, direction, text)


def _subjects(ids: frozenset[str], everybody: Mapping[str, Key], level: Level) -> Iterator[Subject]:
    teams = {key.team for key in everybody.values()}
    if len(teams) > 1 and _is_whole(ids, everybody.keys(), level):
        yield Subject(EVERYONE, "every key" if level == "each" else "everybody")
        return
    for team in sorted({everybody[each].team for each in ids}):
        members = {each: key for each, key in everybody.items() if key.team == team}
        hit = ids & members.keys()
        if _is_whole(hit, members.keys(), level):
            yield Subject(team_group(team), _called(team, level))
        else:
            yield from _in_team(team, hit, members, level)


def _in_team(
    team: str, ids: frozenset[str], members: Mapping[str, Key], level: Level
) -> Iterator[Subject]:
    for project in sorted({members[each].project for each in ids}):
        home = f"{team}/{project}"
        keys = {each: key for each, key in members.items() if key.project == project}
        left = set(ids & keys.keys())
        for name, some in _parts(home, keys):
            if some <= left and _is_whole(some, some, level):
                yield Subject(team_group(team), _called(name, level))
                left -= some
        if left:
            many = len(left) > 1
            yield Subject(team_group(team), f"key{'s' * many} {listing(left)} ({home})", many)


def _parts(home: str, keys: Mapping[str, Key]) -> Iterator[tuple[str, set[str]]]:
    """A project as a whole, then its environments that have several keys."""
    yield home, set(keys)
    for env in sorted({key.env for key in keys.values() if key.env}):
        some = {each for each, key in keys.items() if key.env == env}
        if len(some) > 1:
            yield f"{home} {env}", some


def _is_whole(ids: Set[str], members: Set[str], level: Level) -> bool:
    """Whether these keys can be told as their level, which is then shorter and as true."""
    return level != "named" and ids == members and (level == "all" or len(members) > 1)


def _called(level_name: str, level: Level) -> str:
    return f"each key of {level_name}" if level == "each" else level_name
