"""What changes for keys that both policies have, and which keys come and go. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from authz_service.asked import asked, own_path
from authz_service.decision import decide_for
from authz_service.diff.changes import (
    ACCESS_GAINED,
    ACCESS_LOST,
    LIMIT,
    SETTING,
    Change,
    Direction,
    Level,
    Said,
    listing,
    sentences,
    team_group,
)
from authz_service.diff.limits import differences, limits_in_words
from authz_service.verdicts import Granted
from tollhouse.policy.compiled import Key, Limits, Snapshot

# Before any key expires: when it does is a change of its own.
_EVER = float("-inf")


def key_changes(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Of all keys."""
    common = {key_id: key for key_id, key in new.keys.items() if key_id in old.keys}
    said: defaultdict[Said, set[str]] = defaultdict(set)
    for key_id, key in common.items():
        for what in _said(old, new, old.keys[key_id], key):
            said[what].add(key_id)
    yield from sentences({what: frozenset(ids) for what, ids in said.items()}, common)
    yield from _come(new, new.keys.keys() - old.keys.keys())
    yield from _gone(old, old.keys.keys() - new.keys.keys())


def may_call(snapshot: Snapshot, key: Key) -> frozenset[str]:
    """The aliases that the service grants to a key that has not expired."""
    return frozenset(
        name
        for name, alias in snapshot.aliases.items()
        if isinstance(decide_for(snapshot, key, asked(own_path(alias), name), _EVER), Granted)
    )


def _said(old: Snapshot, new: Snapshot, before: Key, after: Key) -> Iterator[Said]:
    yield from _access(old, new, before, after)
    yield from _expiry(before, after)
    yield from _secret(before, after)
    yield from _limits("", before.limits, after.limits)
    for alias in sorted({*before.model_limits, *after.model_limits}):
        was, now = before.model_limits.get(alias), after.model_limits.get(alias)
        yield from _limits(f"with {alias}, ", was or Limits(), now or Limits())
    if (before.team, before.project) != (after.team, after.project):
        anew = "" if before.team == after.team else ", and its counters begin anew"
        yield _own(f"moves here from {before.team}/{before.project}{anew}", SETTING, "other")
    if before.env != after.env:
        moved = f"{after.env or 'none'} instead of {before.env or 'none'}"
        yield _own(f"has the environment {moved}", SETTING, "other")


def _access(old: Snapshot, new: Snapshot, before: Key, after: Key) -> Iterator[Said]:
    had, has = may_call(old, before), may_call(new, after)
    if (before.blocked_at is None) != (after.blocked_at is None):
        yield _blocked(after, has)
        return
    for alias in had - has:
        yield Said("loses", "lose", ACCESS_LOST, "narrower", alias)
    for alias in has - had:
        yield Said("gains", "gain", ACCESS_GAINED, "wider", alias)
    for alias in had & has:
        logged, was = after.would_deny(alias), before.would_deny(alias)
        if logged and not was:
            one = "is from now on logged as would_deny (shadow) for"
            yield Said(one, one.replace("is", "are", 1), SETTING, "other", alias)
        elif was and not logged:
            one = "is no longer logged as would_deny (shadow) for"
            yield Said(one, one.replace("is", "are", 1), SETTING, "other", alias)


def _blocked(after: Key, has: frozenset[str]) -> Said:
    level: Level = "named" if after.blocked_at == "key" else "all"
    if after.blocked_at is not None:
        one = "is now blocked" + ("" if level == "named" else f" (at the {after.blocked_at})")
        return Said(
            one,
            one.replace("is", "are", 1),
            ACCESS_LOST,
            "narrower",
            level=level,
        )
    one = f"is no longer blocked and may call {listing(has) or 'no model'}"
    return Said(one, one.replace("is", "are", 1), ACCESS_GAINED, "wider")


def _expiry(before: Key, after: Key) -> Iterator[Said]:
    was, now = before.expires_at, after.expires_at
    if was == now:
        return
    if now is None:
        yield _own(f"no longer expires (it did at {_moment(was)})", SETTING, "wider")
    elif was is None:
        yield _own(f"now expires, at {_moment(now)}", ACCESS_LOST, "narrower")
    else:
        text = f"expires at {_moment(now)} instead of {_moment(was)}"
        yield _own(text, SETTING, "wider" if now > was else "narrower")


def _secret(before: Key, after: Key) -> Iterator[Said]:
    """Rotation: which key material is good, and until when."""
    was, now = _good_until(before), _good_until(after)
    if before.sha256 != after.sha256:
        until = now.get(before.sha256)
        end = "refused at once" if until is None else f"good until {_moment(until)}"
        direction: Direction = "narrower" if until is None else "other"
        yield _own(f"is another key now: the old one is {end}", SETTING, direction)
    for sha256, until in before.previous.items():
        if sha256 not in now:
            yield _own("no longer takes a key that it replaced", ACCESS_LOST, "narrower")
        elif now[sha256] != until:
            direction = "wider" if (now[sha256] or until + 1) > until else "narrower"
            text = "takes a key that it replaced " + _until(now[sha256], until)
            yield _own(text, SETTING, direction)
    for _ in now.keys() - was.keys() - {after.sha256}:
        yield _own("takes one more replaced key", SETTING, "wider")


def _until(now: float | None, was: float) -> str:
    end = "for good" if now is None else f"until {_moment(now)}"
    return f"{end} instead of until {_moment(was)}"


def _good_until(key: Key) -> dict[str, float | None]:
    """What each hash of the key is good until; None is no end of its own."""
    return {**key.previous, key.sha256: None}


def _limits(about: str, before: Limits, after: Limits) -> Iterator[Said]:
    for direction, text in differences(before, after):
        yield Said(f": {about}{text}", f": {about}{text}, each", LIMIT, direction, level="each")


def _own(verb: str, rank: int, direction: Direction) -> Said:
    plural = verb
    for one, many in (("is ", "are "), ("has ", "have "), ("takes ", "take "), ("moves ", "move ")):
        plural = many + plural.removeprefix(one) if plural.startswith(one) else plural
    for word in ("expires", "loses"):
        plural = plural.replace(word, word.removesuffix("s"), 1)
    return Said(verb, plural, rank, direction, level="named")


def _moment(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds or 0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _come(new: Snapshot, ids: set[str]) -> Iterator[Change]:
    for (team, project, env, what), found in _alike(new, ids).items():
        where = f"{team}/{project}" + (f" {env}" if env else "")
        text = f"new key{'s' * (len(found) > 1)} {listing(found)} in {where}: {what}"
        yield Change(team_group(team), ACCESS_GAINED, "wider", text)


def _gone(old: Snapshot, ids: set[str]) -> Iterator[Change]:
    homes: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for key_id in ids:
        homes[old.keys[key_id].team, old.keys[key_id].project].add(key_id)
    for (team, project), found in homes.items():
        several = len(found) > 1
        verb = "are removed" if several else "is removed"
        text = f"key{'s' * several} {listing(found)} of {team}/{project} {verb}"
        yield Change(team_group(team), ACCESS_LOST, "narrower", text)


def _alike(snapshot: Snapshot, ids: set[str]) -> Mapping[tuple[str, str, str, str], set[str]]:
    """New keys by where they are and what they may."""
    found: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
    for key_id in ids:
        key = snapshot.keys[key_id]
        limits = limits_in_words(key.limits)
        calls = "blocked" if key.blocked_at else listing(may_call(snapshot, key)) or "no model"
        what = f"may call {calls}" if calls != "blocked" else calls
        ends = f", until {_moment(key.expires_at)}" if key.expires_at is not None else ""
        what += (f" ({limits})" if limits else "") + ends
        found[key.team, key.project, key.env or "", what].add(key_id)
    return found
