"""Compiles policy files into the snapshot the services read, checking file against file."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from tollhouse.demo import DEMO_HASHES
from tollhouse.policy.access import AccessCompiler, Place
from tollhouse.policy.budgets import problems_of
from tollhouse.policy.compiled import Alias, Limits, Org, Provider, Snapshot
from tollhouse.policy.deployments import Priced, compiled, endpoints_of, is_unchecked, priced
from tollhouse.policy.deployments import problems_of as deployment_problems
from tollhouse.policy.documents import Document
from tollhouse.policy.files import OrgFile
from tollhouse.policy.incremental import TeamCompiler, Teams
from tollhouse.policy.limits import compile_limits
from tollhouse.policy.loader import Loader
from tollhouse.policy.management import Management
from tollhouse.policy.management_compiler import Known, compile_management
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.problems import PolicyError, PolicyProblem
from tollhouse.policy.provider_files import ProviderFile
from tollhouse.policy.secret import Secret
from tollhouse.policy.selectors import GROUP, TAG, Selectors, UnknownSelectors
from tollhouse.policy.teams import Common
from tollhouse.policy.tree import PolicyTree

_MODELS, _GROUPS = ("models",), ("groups",)
_ENVIRONMENTS = ("environments",)


def load_snapshot(directory: Path, *, allow_demo_keys: bool = False) -> Snapshot:
    """Read and compile a policy directory, once.

    Raises:
        PolicyError: with every problem found. What depends on a file that is not well-formed by
            itself is not looked at.
    """
    return PolicyLoader(allow_demo_keys=allow_demo_keys).load(directory)


def compile_tree(tree: PolicyTree, *, allow_demo_keys: bool = False) -> Snapshot:
    """Compile a policy, once.

    Raises:
        PolicyError: with every problem between the files.
    """
    return Compiler(allow_demo_keys=allow_demo_keys).compile(tree)


class PolicyLoader:
    """Loads a policy again and again; what did not change is not made anew.

    Not for two threads at once.
    """

    def __init__(self, *, allow_demo_keys: bool = False) -> None:
        self._files = Loader()
        self._compiler = Compiler(allow_demo_keys=allow_demo_keys)

    def load(self, directory: Path) -> Snapshot:
        """The policy as it is now; unchanged keys are the objects of the load before.

        Raises:
            PolicyError: as `load_snapshot`.
        """
        return self.read(directory)[1]

    def read(
        self, directory: Path, instead: Mapping[str, str | None] | None = None
    ) -> tuple[PolicyTree, Snapshot]:
        """The policy with the files that it is compiled from; `instead` as `Loader.load` has it.

        Raises:
            PolicyError: as `load_snapshot`.
        """
        tree = self._files.load(directory, instead)
        return tree, self._compiler.compile(tree)


class Compiler:
    """Compiles one tree after another. Published demo keys are blocked unless `allow_demo_keys`."""

    def __init__(self, *, allow_demo_keys: bool = False) -> None:
        self._teams = TeamCompiler()
        self._refused_hashes = frozenset() if allow_demo_keys else DEMO_HASHES

    def compile(self, tree: PolicyTree) -> Snapshot:
        """Raises PolicyError, as `compile_tree`."""
        org = _org(tree.org.model)
        selectors, problems = selectors_of(tree)
        common = self._common(tree, org, selectors, problems)
        teams, deployments = self._teams.compile(tree, common), priced(tree)
        management, wrong = _management(tree, teams, common)
        snapshot = _snapshot(tree, org, _aliases(tree, deployments), teams, management)
        problems += [*wrong, *tree.problems, *deployment_problems(tree), *teams.problems]
        # Without the org's environments, who may call a model is not known.
        if "org" not in tree.broken and tree.org.document.is_whole(_ENVIRONMENTS):
            problems += problems_of(tree, snapshot, deployments)
        if problems:
            raise PolicyError(problems)
        return snapshot

    def _common(
        self, tree: PolicyTree, org: Org, selectors: Selectors, problems: list[PolicyProblem]
    ) -> Common:
        environments = tree.org.model.environments
        access = AccessCompiler(selectors, environments)
        place = Place(tree.org.document, (), "org", org.name)
        top = tuple(access.level(place.of(env), rules) for env, rules in environments.items())
        problems += access.problems
        return Common(
            owner=org.owner,
            zone=ZoneInfo(org.time_zone),
            environments=_declared(tree),
            top=top,
            selectors=selectors,
            refused_hashes=self._refused_hashes,
        )


def _declared(tree: PolicyTree) -> frozenset[str] | None:
    """The names of the environments, None where they cannot be known."""
    document = tree.org.document
    if "org" in tree.broken or _ENVIRONMENTS in document.removed:
        return None
    return frozenset({*tree.org.model.environments, *document.lost(_ENVIRONMENTS)})


def _management(
    tree: PolicyTree, teams: Teams, common: Common
) -> tuple[Management | None, list[PolicyProblem]]:
    if tree.management is None:
        return None, []
    # A team that is known by name only counts too.
    names = None if "teams" in tree.broken else {source.model.team for source in tree.teams}
    return compile_management(tree.management, Known(common.zone, names, teams.keys_by_hash))


def _snapshot(
    tree: PolicyTree,
    org: Org,
    aliases: dict[str, Alias],
    teams: Teams,
    management: Management | None,
) -> Snapshot:
    providers = tree.providers.model.providers.items()
    return Snapshot(
        version=tree.version,
        source=tree.directory,
        org=org,
        providers=MappingProxyType({name: _provider(name, file) for name, file in providers}),
        aliases=MappingProxyType(aliases),
        teams=teams.teams,
        keys=teams.keys,
        keys_by_hash=teams.keys_by_hash,
        management=management,
    )


def _org(file: OrgFile) -> Org:
    return Org(
        name=file.org,
        time_zone=file.time_zone,
        owner=file.owner,
        limits=compile_limits(file.limits),
        on_store_outage=file.on_store_outage,
        on_lost_reservation=file.on_lost_reservation,
        reservation_lease_seconds=file.reservation_lease_seconds,
        default_max_output_tokens=file.default_max_output_tokens,
        max_request_bytes=file.max_request_bytes,
        usage_retention_days=file.usage_retention_days,
        show_policy_version=file.show_policy_version,
        show_provider_model=file.show_provider_model,
        environments=tuple(sorted(file.environments)),
        env_limits=MappingProxyType(_env_limits(file)),
    )


def _provider(name: str, file: ProviderFile) -> Provider:
    is_anthropic = file.dialect == "anthropic"
    auth_header = file.auth_header or ("x-api-key" if is_anthropic else "authorization")
    bearer = "Bearer " if auth_header == "authorization" else ""
    # https://docs.anthropic.com/en/api/versioning: every request has to say a version.
    version = {"anthropic-version": "2023-06-01"} if is_anthropic else {}
    return Provider(
        name=name,
        dialect=file.dialect,
        base_url=file.base_url,
        secret=Secret.named(file.api_key) if file.api_key else None,
        auth_header=auth_header,
        auth_prefix=bearer if file.auth_prefix is None else file.auth_prefix,
        headers=MappingProxyType({**version, **file.headers}),
        forward_headers=tuple(sorted(set(file.forward_headers))),
        ca_file=file.ca_file,
        server_name=file.server_name,
        max_connections=file.max_connections,
        max_pending_requests=file.max_pending_requests,
        connect_timeout_seconds=float(file.connect_timeout_seconds),
        idle_timeout_seconds=float(file.idle_timeout_seconds),
        cooldown_seconds=float(file.cooldown_seconds),
        cooldown_after=file.cooldown_after,
        max_tokens_field=file.max_tokens_field,
        stream_usage=file.stream_usage,
    )


def _aliases(tree: PolicyTree, deployments: Mapping[str, list[Priced]]) -> dict[str, Alias]:
    models, providers = tree.models.model.models, tree.providers.model.providers
    return {name: _alias(name, models[name], each, providers) for name, each in deployments.items()}


def _alias(
    name: str, file: ModelFile, deployments: list[Priced], providers: Mapping[str, ProviderFile]
) -> Alias:
    after = file.fallback_after_seconds
    return Alias(
        name=name,
        deployments=compiled(deployments, providers),
        fallbacks=tuple(file.fallbacks),
        fallback_after_seconds=None if after is None else float(after),
        description=file.description,
        endpoints=endpoints_of(file, providers),
        limits=compile_limits(file.limits),
        defaults=MappingProxyType(dict(file.defaults)),
        max_output_tokens=file.max_output_tokens,
        max_tokens_per_media=file.max_tokens_per_media,
        max_input_tokens=file.max_input_tokens,
        max_tokens_for_tools=file.max_tokens_for_tools,
        tags=frozenset(file.tags),
    )


def _env_limits(file: OrgFile) -> dict[str, Limits]:
    limited = {env: compile_limits(rules.limits) for env, rules in file.environments.items()}
    return {env: limits for env, limits in limited.items() if limits != Limits()}


def selectors_of(tree: PolicyTree) -> tuple[Selectors, list[PolicyProblem]]:
    """What lists of models can name: aliases, tags, patterns, groups."""
    models, document = tree.models.model, tree.models.document
    if "models" in tree.broken or _MODELS in document.removed:
        return UnknownSelectors(), []
    tags: dict[str, Iterable[str]] = dict.fromkeys(document.lost(_MODELS), ())
    tags |= {name: file.tags for name, file in models.models.items()}
    named_only = {name for name, file in models.models.items() if is_unchecked(file)}
    selectors = Selectors(tags, set(_unsure(document)), named_only)
    # Members are resolved before any group has a name, so a group holds no other.
    compiler = AccessCompiler(selectors, ())
    place = Place(tree.models.document, ("groups",), "org", "groups")
    groups = {name: compiler.select(place, each, name) for name, each in models.groups.items()}
    for name, aliases in groups.items():
        selectors.name_group(name, aliases)
    for name in document.lost(_GROUPS):
        selectors.name_group(name, ())
    return selectors, compiler.problems


def _unsure(models: Document) -> Iterator[str]:
    """The kinds of names of which not all are known."""
    gone = [path for path in models.removed if path[:1] == _MODELS]
    if any(len(path) == len(_MODELS) + 1 or path[2] == "tags" for path in gone):
        yield TAG
    if _GROUPS in models.removed:
        yield GROUP
