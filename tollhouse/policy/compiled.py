"""What the hot path reads: immutable objects compiled from the policy files.

A `Snapshot` never changes; a reload makes a new one. Nothing here knows YAML, gRPC or Redis.
Names are resolved: selectors such as `tag:cheap` have become sets of alias names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from tollhouse.endpoints import Dialect, Endpoint, dialect_of, served_as
from tollhouse.money import Price
from tollhouse.policy.management import Management
from tollhouse.policy.secret import Secret

Level = Literal["key", "project", "team", "org", "alias"]
RuleLevel = Literal["key", "project", "team", "org"]
BlockedAt = Literal["key", "project", "team", "org", "environment", "demo"]
MaxTokensField = Literal["max_completion_tokens", "max_tokens"]
# A provider reports the usage of a stream on request (stream_options.include_usage), or always,
# and may then refuse the request for it.
StreamUsage = Literal["requested", "always"]
BudgetMode = Literal["hard", "soft"]
PriceSource = Literal["policy", "genai-prices"]
MetadataValue = str | int | float | bool


K = TypeVar("K")
V = TypeVar("V")
_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def read_only(mapping: Mapping[K, V]) -> Mapping[K, V]:
    """A read-only copy; of what is empty, as most are, always the same one."""
    return MappingProxyType(dict(mapping)) if mapping else _NOTHING


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one scope; None is no limit.

    A minute is any 60 seconds. Days, weeks (from Monday) and months are calendar ones in the org's
    time zone. Spend is nano-dollars. `budget_mode` says what a running call reserves in the spend
    limits: its worst case (hard), or what such calls cost of late (soft); it is "hard" where there
    is no spend limit, so that equality says whether anything is limited.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    max_parallel_requests: int | None = None
    daily_spend_nanousd: int | None = None
    weekly_spend_nanousd: int | None = None
    monthly_spend_nanousd: int | None = None
    budget_mode: BudgetMode = "hard"

    @property
    def has_budget(self) -> bool:
        """Whether any spend is limited."""
        budgets = (self.daily_spend_nanousd, self.weekly_spend_nanousd, self.monthly_spend_nanousd)
        return any(budget is not None for budget in budgets)


@dataclass(frozen=True, slots=True)
class Provider:
    """An upstream.

    `base_url` is absolute, without query, fragment, credentials or trailing slash. The secret is
    sent in `auth_header` (lowercase) after `auth_prefix` ("Bearer ", ""); None: it asks for none.
    `headers` go with every call; `forward_headers` are those of the caller that may pass besides
    what always does; all names are lowercase. `ca_file` is a path where Envoy runs, None the
    system's CAs; `server_name` is the name in its certificate, None the URL's host.
    `max_connections` and `max_pending_requests` hold for one Envoy; None: no bound.
    `idle_timeout_seconds` is the longest time without a byte from the provider. After
    `cooldown_after` failures in a row, aliases that have other deployments pass it over for
    `cooldown_seconds` (0: never). `max_tokens_field` is the name under which its chat endpoint
    takes the output limit.
    """

    name: str
    dialect: Dialect
    base_url: str
    secret: Secret | None
    auth_header: str
    auth_prefix: str
    connect_timeout_seconds: float
    idle_timeout_seconds: float
    max_tokens_field: MaxTokensField
    stream_usage: StreamUsage
    headers: Mapping[str, str] = field(default_factory=dict)
    forward_headers: tuple[str, ...] = ()
    ca_file: str | None = None
    server_name: str | None = None
    max_connections: int | None = None
    max_pending_requests: int | None = None
    cooldown_seconds: float = 10.0
    cooldown_after: int = 5


@dataclass(frozen=True, slots=True)
class Deployment:
    """One provider's model behind an alias.

    `provider` names an entry of `Snapshot.providers`, `model` is that provider's name for the
    model. Of the deployments of the lowest `order` each takes a share of the calls in proportion to
    its `weight`; the others are asked when these fail. `price` is None only where no spend limit
    can apply.
    """

    provider: str
    model: str
    dialect: Dialect
    max_tokens_field: MaxTokensField
    stream_usage: StreamUsage
    price: Price | None
    price_source: PriceSource | None
    weight: int = 1
    order: int = 1

    def serves(self, endpoint: str) -> bool:
        """Whether its provider speaks the dialect of this endpoint."""
        return self.dialect == dialect_of(endpoint)


@dataclass(frozen=True, slots=True)
class Alias:
    """A model name that teams use, and what stands behind it.

    `deployments` has at least one; `fallbacks` are other aliases, asked in this order when all of
    its own fail, for callers that may call them. `fallback_after_seconds` is how long a deployment
    may be silent before the next one is asked; None: as long as its provider may be.
    `defaults` maps parameter names to compact JSON text. `max_output_tokens` (tokens) is
    injected when the client gave none and clamps what is larger; None: the org's default is
    injected and nothing is clamped. `max_tokens_per_media` bounds the tokens of one image, file or
    sound, `max_tokens_for_tools` what a provider adds to the prompt of a call that has tools.
    `max_input_tokens` is the model's context window; None: unknown.
    """

    name: str
    deployments: tuple[Deployment, ...]
    description: str | None
    endpoints: frozenset[Endpoint]
    limits: Limits
    defaults: Mapping[str, str]
    max_output_tokens: int | None
    max_tokens_per_media: int
    tags: frozenset[str]
    max_input_tokens: int | None = None
    max_tokens_for_tools: int = 1024
    fallbacks: tuple[str, ...] = ()
    fallback_after_seconds: float | None = None

    @property
    def first(self) -> Deployment:
        """The deployment that is named first of those asked first."""
        return min(self.deployments, key=lambda each: each.order)

    @property
    def price(self) -> Price | None:
        """What the first deployment costs."""
        return self.first.price

    @property
    def is_priced(self) -> bool:
        """Whether every deployment has a price."""
        return all(each.price is not None for each in self.deployments)

    def serves(self, endpoint: str) -> bool:
        """Whether it serves this endpoint, by itself or as part of another."""
        return served_as(endpoint) in self.endpoints

    def deployments_for(self, endpoint: str) -> tuple[Deployment, ...]:
        """Those that can answer calls of this endpoint."""
        return tuple(each for each in self.deployments if each.serves(endpoint))


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What one level says about models, selectors resolved to alias names.

    `allowed` is None when the level does not narrow its parent. `env`: it holds for keys of this
    environment only. Kept beside the effective set so that a refusal can name the level that made
    it.
    """

    level: RuleLevel
    name: str
    allowed: frozenset[str] | None
    denied: frozenset[str]
    env: str | None = None

    @property
    def where(self) -> str:
        """ "the project 'website'", "the environment 'staging' of the team 'marketing'"."""
        level = f"the {self.level} '{self.name}'"
        return f"the environment '{self.env}' of {level}" if self.env else level

    def permits(self, alias: str) -> bool:
        """Whether this level, taken alone, lets the alias pass."""
        return alias not in self.denied and (self.allowed is None or alias in self.allowed)


@dataclass(frozen=True, slots=True)
class Key:
    """An internal key. `sha256` is 64 lowercase hex digits; the key itself is nowhere.

    `blocked_at` is the widest level that blocks it ("demo": a published demo key where those are
    not admitted), None when usable. `expires_at` is the first moment (seconds since the epoch)
    at which it is no longer valid. `models` are the aliases it may call: the intersection of
    what the levels allow, minus what any denies. `rules` go from the org to the key, each level
    before its environment; `shadow_rules` are those that are logged and not enforced.
    `model_limits` are limits of this key with one alias, by alias; projects and teams have theirs.
    `previous` maps the SHA-256 of keys that this one replaced to the moment (epoch seconds) from
    which they are no longer valid.
    """

    id: str
    sha256: str
    team: str
    project: str
    env: str | None
    blocked_at: BlockedAt | None
    expires_at: float | None
    models: frozenset[str]
    rules: tuple[ModelRule, ...]
    limits: Limits
    metadata: Mapping[str, MetadataValue]
    model_limits: Mapping[str, Limits] = field(default_factory=dict)
    shadow_rules: tuple[ModelRule, ...] = ()
    previous: Mapping[str, float] = field(default_factory=dict)

    def would_deny(self, alias: str) -> ModelRule | None:
        """The rule that would refuse this alias, were it enforced and not only logged."""
        return next((rule for rule in self.shadow_rules if not rule.permits(alias)), None)


@dataclass(frozen=True, slots=True)
class Project:
    """A project of one team; its name is unique within that team only.

    `env_limits` are the limits of its calls in one environment, by environment.
    """

    name: str
    team: str
    limits: Limits
    model_limits: Mapping[str, Limits] = field(default_factory=dict)
    env_limits: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Team:
    """A team. `owner` is whom its members ask, the org's owner unless the team names one."""

    name: str
    owner: str | None
    limits: Limits
    projects: Mapping[str, Project]
    model_limits: Mapping[str, Limits] = field(default_factory=dict)
    env_limits: Mapping[str, Limits] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Org:
    """The top scope, and the choices that hold for every request.

    `time_zone` is the IANA zone in which months begin. `on_lost_reservation` says what becomes of
    a reservation whose request never reported back within `reservation_lease_seconds`.
    `default_max_output_tokens` (tokens) bounds calls of aliases that state no maximum.
    `max_request_bytes` is the largest accepted body. Daily usage is kept `usage_retention_days`.
    `show_policy_version`: answers carry the version of the policy that decided them.
    `show_provider_model`: they name the provider's model, not the alias.
    """

    name: str
    time_zone: str
    owner: str | None
    limits: Limits
    on_store_outage: Literal["deny", "allow"]
    on_lost_reservation: Literal["charge", "release"]
    reservation_lease_seconds: int
    default_max_output_tokens: int
    max_request_bytes: int
    usage_retention_days: int = 400
    environments: tuple[str, ...] = ()
    env_limits: Mapping[str, Limits] = field(default_factory=dict)
    show_policy_version: bool = False
    show_provider_model: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """One place where limits are counted. `owner` is whom to ask about them.

    `model`: it counts calls of this alias only; `env`: calls of keys of this environment only.
    """

    level: Level
    name: str
    limits: Limits
    owner: str | None
    model: str | None = None
    env: str | None = None

    @property
    def where(self) -> str:
        """ "key web-1", "team marketing for model gpt4", "environment staging of org acme"."""
        where = f"{'model' if self.level == 'alias' else self.level} {self.name}"
        if self.env:
            return f"environment {self.env} of {where}"
        return f"{where} for model {self.model}" if self.model else where


def by_hash(keys: Mapping[str, Key]) -> Mapping[str, Key]:
    """`Snapshot.keys_by_hash` of these keys."""
    found = {sha256: key for key in keys.values() for sha256 in (*key.previous, key.sha256)}
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole policy, compiled.

    `version` is 12 hex digits of a SHA-256 over the content of all files (comments and layout
    aside), `source` the directory they were read from. `keys_by_hash` has the hashes of keys that
    a rotation replaced, too. `management` is None where it is off. All mappings are read-only.
    """

    version: str
    source: str
    org: Org
    providers: Mapping[str, Provider]
    aliases: Mapping[str, Alias]
    teams: Mapping[str, Team]
    keys: Mapping[str, Key]
    keys_by_hash: Mapping[str, Key]
    management: Management | None = None

    def scopes(self, key: Key, alias: Alias) -> tuple[Scope, ...]:
        """The scopes a call counts in: key, project, team, org, alias; then those of key, project
        and team that have limits for this alias alone; then those of project, team and org that
        have limits for the key's environment.

        Raises:
            KeyError: the key is not of this snapshot.
        """
        team = self.teams[key.team]
        project = team.projects[key.project]
        whole = (
            Scope("key", key.id, key.limits, team.owner),
            Scope("project", project.name, project.limits, team.owner),
            Scope("team", team.name, team.limits, team.owner),
            Scope("org", self.org.name, self.org.limits, self.org.owner),
            Scope("alias", alias.name, alias.limits, self.org.owner),
        )
        by_model = (key.model_limits, project.model_limits, team.model_limits)
        for_model = (
            replace(scope, limits=limits[alias.name], model=alias.name)
            for scope, limits in zip(whole, by_model, strict=False)
            if alias.name in limits
        )
        by_env = (project.env_limits, team.env_limits, self.org.env_limits)
        of_environment = (
            replace(scope, limits=limits[key.env], env=key.env)
            for scope, limits in zip(whole[1:], by_env, strict=False)
            if key.env is not None and key.env in limits
        )
        return (*whole, *for_model, *of_environment)
