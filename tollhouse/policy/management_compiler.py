"""Compiles management.yaml, checking it against the teams of the policy."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from zoneinfo import ZoneInfo

from tollhouse.demo import DEMO_TOKEN_HASHES
from tollhouse.money import usd_to_nano
from tollhouse.policy.documents import Path
from tollhouse.policy.management import (
    Alerts,
    Management,
    ManagementToken,
    RoleRule,
    SignInPage,
    SingleSignOn,
)
from tollhouse.policy.management_files import (
    AlertsFile,
    ManagementFile,
    RoleRuleFile,
    SignInFile,
    SsoFile,
    TokenFile,
)
from tollhouse.policy.problems import PolicyProblem, suggestion
from tollhouse.policy.secret import Secret
from tollhouse.policy.teams import expiry_moment
from tollhouse.policy.tree import Source

_WHOLE_ORG = ("admin", "auditor")


@dataclass(frozen=True, slots=True)
class Known:
    """What management.yaml is checked against: `teams` are the names there are, None where they
    cannot be known; `keys` the hashes of the proxy keys."""

    zone: ZoneInfo
    teams: Collection[str] | None
    keys: Collection[str]


def compile_management(
    source: Source[ManagementFile], known: Known
) -> tuple[Management, list[PolicyProblem]]:
    """What the file says, and what is wrong with it."""
    file = source.model
    tokens = {token.id: _token(token, known.zone) for token in file.tokens}
    compiled = Management(
        tokens=MappingProxyType(tokens),
        sign_on=_sign_on(file.sso) if file.sso else None,
        alerts=_alerts(file.alerts) if file.alerts else None,
    )
    return compiled, [*_token_problems(source, known), *_rule_problems(source, known)]


def _token(file: TokenFile, zone: ZoneInfo) -> ManagementToken:
    return ManagementToken(
        id=file.id,
        sha256=file.sha256,
        role=file.role,
        teams=_teams(file),
        expires_at=expiry_moment(file.expires, zone),
        is_demo=file.sha256 in DEMO_TOKEN_HASHES,
    )


def _teams(file: TokenFile | RoleRuleFile) -> frozenset[str] | None:
    return None if file.teams is None else frozenset(file.teams)


def _sign_on(file: SsoFile) -> SingleSignOn:
    rules = (RoleRule(each.claim, each.value, each.role, _teams(each)) for each in file.roles)
    return SingleSignOn(
        issuer=file.issuer,
        audiences=tuple(file.audiences),
        jwks=file.jwks,
        identity_claim=file.identity_claim,
        rules=tuple(rules),
        sign_in=_sign_in(file.sign_in) if file.sign_in else None,
    )


def _sign_in(file: SignInFile) -> SignInPage:
    return SignInPage(
        client_id=file.client_id,
        authorization_endpoint=file.authorization_endpoint,
        token_endpoint=file.token_endpoint,
        scopes=tuple(file.scopes),
        client_secret=Secret.named(file.client_secret) if file.client_secret else None,
    )


def _alerts(file: AlertsFile) -> Alerts:
    return Alerts(
        webhook=Secret.named(file.webhook),
        budget_percent=tuple(sorted(set(file.budget_percent))),
        spike_times=float(file.spike.times),
        spike_at_least=usd_to_nano(file.spike.at_least_usd),
    )


def _token_problems(source: Source[ManagementFile], known: Known) -> Iterator[PolicyProblem]:
    ids: dict[str, int] = {}
    hashes: dict[str, int] = {}
    for index, token in enumerate(source.model.tokens):
        at: Path = ("tokens", index)
        yield from _scope_problems(source, at, token, known)
        for field, value, seen in (("id", token.id, ids), ("sha256", token.sha256, hashes)):
            if seen.setdefault(value, index) != index:
                first = source.document.marks.values[("tokens", seen[value])].line
                what = f"'{value}'" if field == "id" else f"{value[:8]}…"
                message = f"the {field} {what} is used twice, first at line {first}"
                yield source.problem((*at, field), message)
        if token.sha256 in known.keys:
            message = "this is the hash of a proxy key, which may call models and not manage"
            yield source.problem((*at, "sha256"), message)


def _rule_problems(source: Source[ManagementFile], known: Known) -> Iterator[PolicyProblem]:
    for index, rule in enumerate(source.model.sso.roles if source.model.sso else ()):
        yield from _scope_problems(source, ("sso", "roles", index), rule, known)


def _scope_problems(
    source: Source[ManagementFile], at: Path, file: TokenFile | RoleRuleFile, known: Known
) -> Iterator[PolicyProblem]:
    if file.role == "team-lead" and file.teams is None:
        yield source.problem(at, "a team-lead needs 'teams': the ones that they lead")
    if file.role in _WHOLE_ORG and file.teams is not None:
        message = f"'{file.role}' is for the whole org: leave 'teams' out, or choose another role"
        yield source.problem((*at, "teams"), message)
    for index, team in enumerate(file.teams or ()):
        if known.teams is not None and team not in known.teams:
            near = suggestion(team, known.teams)
            yield source.problem((*at, "teams", index), f"unknown team '{team}'{near}")
