"""Who may manage the policy, and whom alerts tell. Pure.

More than anything else in a policy this is what a reviewer must not overlook: it decides who may
change all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace

from authz_service.diff.changes import MANAGEMENT, SETTING, Change, Direction
from tollhouse.keyring.moments import said
from tollhouse.policy.management import Alerts, Management, ManagementToken, RoleRule, SingleSignOn

_NOTHING = Management({}, None, None)
_RANK = ("viewer", "auditor", "team-lead", "platform", "admin")
"""What a role may, more or less, the least first."""


def management_changes(old: Management | None, new: Management | None) -> Iterator[Change]:
    """Tokens, single sign-on, alerts; and whether there is any management at all."""
    if old == new:
        return
    if old is None or new is None:
        word, direction = ("on", "wider") if old is None else ("off", "narrower")
        yield _change(direction, f"management over API and console is {word}")
    before, after = old or _NOTHING, new or _NOTHING
    yield from _tokens(before.tokens, after.tokens)
    yield from _sign_on(before.sign_on, after.sign_on)
    yield from _alerts(before.alerts, after.alerts)


def _change(direction: str, text: str) -> Change:
    named: dict[str, Direction] = {"wider": "wider", "narrower": "narrower", "other": "other"}
    return Change(MANAGEMENT, SETTING, named[direction], text)


def _tokens(
    old: Mapping[str, ManagementToken], new: Mapping[str, ManagementToken]
) -> Iterator[Change]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield _change("narrower", f"the token {name} ({_may(old[name])}) is no longer accepted")
        elif name not in old:
            yield _change("wider", f"new token {name}: {_may(new[name])}, {_until(new[name])}")
        else:
            yield from _token(old[name], new[name])


def _token(old: ManagementToken, new: ManagementToken) -> Iterator[Change]:
    if (old.role, old.teams) != (new.role, new.teams):
        text = f"the token {new.id} is {_may(new)} instead of {_may(old)}"
        yield _change(_direction(old, new), text)
    if old.sha256 != new.sha256:
        yield _change("other", f"the token {new.id} is another: the one before is refused")
    if old.expires_at != new.expires_at:
        ends = [each.expires_at or float("inf") for each in (old, new)]
        text = f"the token {new.id} {_until(new)} instead of {_until(old)}"
        yield _change("wider" if ends[1] > ends[0] else "narrower", text)


def _direction(old: ManagementToken | RoleRule, new: ManagementToken | RoleRule) -> str:
    more = _RANK.index(new.role) - _RANK.index(old.role)
    if old.teams != new.teams and not more:
        more = 1 if new.teams is None or (old.teams is not None and old.teams < new.teams) else -1
    return "wider" if more > 0 else "narrower"


def _sign_on(old: SingleSignOn | None, new: SingleSignOn | None) -> Iterator[Change]:
    if old is None or new is None:
        if found := old or new:
            word, direction = ("on", "wider") if old is None else ("off", "narrower")
            yield _change(direction, f"single sign-on by {found.issuer} is {word}")
            sign = "may" if old is None else "may no longer"
            for rule in found.rules:
                yield _change(direction, f"whoever has {_claim(rule)} {sign}: {_may(rule)}")
        return
    yield from _rules(old.rules, new.rules)
    alike = replace(old, rules=new.rules)
    for each in fields(SingleSignOn):
        was, now = getattr(alike, each.name), getattr(new, each.name)
        if was != now:
            yield _change("other", f"single sign-on: {each.name} is {now} instead of {was}")


def _rules(old: tuple[RoleRule, ...], new: tuple[RoleRule, ...]) -> Iterator[Change]:
    for rule in old:
        if rule not in new:
            yield _change("narrower", f"whoever has {_claim(rule)} may no longer: {_may(rule)}")
    for rule in new:
        if rule not in old:
            yield _change("wider", f"whoever has {_claim(rule)} may: {_may(rule)}")
    if set(old) == set(new) and old != new:
        yield _change("other", "single sign-on: its roles are looked through in another order")


def _alerts(old: Alerts | None, new: Alerts | None) -> Iterator[Change]:
    if old == new:
        return
    if old is None or new is None:
        yield _change("other", f"alerts are {'on' if old is None else 'off'}")
        return
    for each in fields(Alerts):
        was, now = getattr(old, each.name), getattr(new, each.name)
        if was != now:
            yield _change("other", f"alerts: {each.name} is {now} instead of {was}")


def _may(who: ManagementToken | RoleRule) -> str:
    scope = "" if who.teams is None else f" of {', '.join(sorted(who.teams))}"
    return f"{who.role}{scope}"


def _claim(rule: RoleRule) -> str:
    return f"{rule.claim} {rule.value}"


def _until(token: ManagementToken) -> str:
    if token.expires_at is None:
        return "never expires"
    return f"expires {said(token.expires_at)}"
