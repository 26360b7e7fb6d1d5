"""What a LiteLLM config says beside its models: the org's limits, and what has no equal."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tollhouse.importing.limits import LimitReader, Limits
from tollhouse.importing.notes import Group, Notes
from tollhouse.importing.values import listing, mapping, text, texts
from tollhouse.policy.files import OrgFile

_SECTIONS = ("litellm_settings", "router_settings", "general_settings")
_FALLBACKS = (
    "fallbacks",
    "context_window_fallbacks",
    "content_policy_fallbacks",
    "default_fallbacks",
)
_READ = frozenset(
    {
        "budget_duration",
        "default_redis_batch_cache_expiry",
        "global_max_parallel_requests",
        "json_logs",
        "max_budget",
        "model_group_alias",
        "request_timeout",
        "set_verbose",
        "timeout",
        "timezone",
        *_FALLBACKS,
    }
)
_SETTINGS: Group = "settings"
_CALLBACKS = ("nothing is sent to callbacks", "ship the access log and scrape the metrics")
_ROUTING = ("calls are not spread, retried or held back per deployment", "")
_DATABASE = ("there is no database: keys are files, and Redis counts", "")
REASONS: dict[str, tuple[Group, str, str]] = {
    "master_key": (
        "keys and teams",
        "no key may do everything",
        "give whoever calls models with it a key of their own (`tollhouse keys new`)",
    ),
    "database_url": (_SETTINGS, *_DATABASE),
    "store_model_in_db": (
        "models",
        "models that were added in LiteLLM's UI are in its database and not in the config",
        "add them to the config before the import, or to models.yaml after it",
    ),
    "guardrails": (
        "limits and access",
        "guardrails have no equal",
        "filter in front of the gateway",
    ),
    "success_callback": (_SETTINGS, *_CALLBACKS),
    "failure_callback": (_SETTINGS, *_CALLBACKS),
    "callbacks": (_SETTINGS, *_CALLBACKS),
    "service_callback": (_SETTINGS, *_CALLBACKS),
    "callback_settings": (_SETTINGS, *_CALLBACKS),
    "alerting": (
        _SETTINGS,
        "budgets and spikes are told by the console",
        "name the webhook in management.yaml: docs/alerts.md; deploy/alerts.yml is for Prometheus",
    ),
    "cache": (_SETTINGS, "answers are not cached", ""),
    "cache_params": (_SETTINGS, "answers are not cached", ""),
    "drop_params": (
        _SETTINGS,
        "parameters reach the provider as the caller wrote them",
        "callers leave out what a model does not know",
    ),
    "num_retries": (
        "routing",
        "the gateway does not retry",
        "OpenAI's SDKs do, twice unless told otherwise",
    ),
    "retry_policy": ("routing", "the gateway does not retry", "OpenAI's SDKs do"),
    "routing_strategy": ("routing", *_ROUTING),
    "routing_strategy_args": ("routing", *_ROUTING),
    "allowed_fails": ("routing", *_ROUTING),
    "allowed_fails_policy": ("routing", *_ROUTING),
    "cooldown_time": ("routing", *_ROUTING),
    "enable_pre_call_checks": ("routing", *_ROUTING),
    "provider_budget_config": (
        "limits and access",
        "a provider has no budget",
        "write limits at the provider's models",
    ),
    "redis_host": (_SETTINGS, "the ledger's Redis is named where it runs", "set REDIS_URL"),
    "redis_port": (_SETTINGS, "the ledger's Redis is named where it runs", "set REDIS_URL"),
    "redis_password": (_SETTINGS, "the ledger's Redis is named where it runs", "set REDIS_URL"),
    "redis_url": (_SETTINGS, "the ledger's Redis is named where it runs", "set REDIS_URL"),
    "default_key_generate_params": (
        "keys and teams",
        "new keys have no defaults",
        "write limits at their project or team",
    ),
    "upperbound_key_generate_params": (
        "limits and access",
        "new keys have no upper bounds",
        "a limit of their team bounds all its keys together",
    ),
    "default_team_settings": ("keys and teams", "teams have no defaults", ""),
    "cost_discount_config": (
        "prices",
        "prices are stated as they are",
        "write price: at the models",
    ),
    "cost_margin_config": ("prices", "prices are stated as they are", "write price: at the models"),
    "enable_jwt_auth": ("keys and teams", "callers sign in with keys only", "make keys for them"),
    "custom_auth": ("keys and teams", "callers sign in with keys only", "make keys for them"),
    "litellm_key_header_name": (
        "keys and teams",
        "a key comes in authorization or x-api-key",
        "send it there",
    ),
    "pass_through_endpoints": ("models", "only the endpoints of the policy are open", ""),
    "max_parallel_requests": (
        "limits and access",
        "there is no default for every deployment",
        "write max_parallel_requests at the models",
    ),
    "environment_variables": (
        _SETTINGS,
        "a policy sets no variables, and these may be secrets",
        "set those that the providers name for Envoy",
    ),
    "mcp_servers": ("models", "MCP servers are not served here", ""),
}


def default_timeout(config: dict[str, Any]) -> Any:
    """Seconds for deployments that state none; the router's go before the library's."""
    router, library = (
        mapping(config.get("router_settings")),
        mapping(config.get("litellm_settings")),
    )
    return router.get("timeout", library.get("request_timeout"))


def org_of(config: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """org.yaml: the time zone, and the limits for everybody."""
    library, general = (
        mapping(config.get("litellm_settings")),
        mapping(config.get("general_settings")),
    )
    limits, reader = Limits(), LimitReader(notes)
    reader.budget(
        limits, library.get("max_budget"), library.get("budget_duration"), "the whole proxy"
    )
    together = general.get("global_max_parallel_requests")
    reader.count(limits, "max_parallel_requests", together, "global_max_parallel_requests")
    org: dict[str, Any] = {"org": "default", "time_zone": text(library.get("timezone")) or "UTC"}
    try:
        OrgFile.model_validate(org)
    except ValidationError:
        notes.drop("settings", "litellm_settings.timezone", "not an IANA time zone; it is UTC now")
        org["time_zone"] = "UTC"
    if limits.fields:
        org["limits"] = limits.fields
    return org


def drop_settings(config: dict[str, Any], notes: Notes) -> None:
    """Notes all that has no equal, by name alone: many of the values are secrets."""
    for section in _SECTIONS:
        for name, value in mapping(config.get(section)).items():
            if name in _FALLBACKS:
                _drop_fallbacks(name, value, notes)
            elif name not in _READ and value not in (None, False, [], {}):
                group, why, instead = REASONS.get(name, (_SETTINGS, "nothing here is like it", ""))
                notes.drop(group, f"{section}.{name}", why, instead)
    known = {*_SECTIONS, "model_list", "credential_list", "include"}
    for name, value in config.items():
        if name not in known and value not in (None, [], {}):
            group, why, instead = REASONS.get(name, (_SETTINGS, "nothing here is like it", ""))
            notes.drop(group, name, why, instead)


def _drop_fallbacks(kind: str, stated: object, notes: Notes) -> None:
    why = "the import carries no fallbacks over"
    instead = "write fallbacks: at the model in models.yaml (docs/fallback.md)"
    chains = [(model, others) for one in listing(stated) for model, others in mapping(one).items()]
    if texts(stated):
        chains.append(("every model", texts(stated)))
    for model, others in chains:
        named = ", ".join(
            text(other) or text(mapping(other).get("model")) for other in listing(others)
        )
        notes.drop("routing", f"{kind}: {model} → {named}", why, instead)
