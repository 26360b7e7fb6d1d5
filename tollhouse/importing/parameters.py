"""What else litellm_params and model_info say: defaults of a call, and what is left behind."""

from __future__ import annotations

from typing import Any

from tollhouse.importing.notes import Notes
from tollhouse.importing.values import variable, with_text_keys

# Members of a chat or embeddings request in OpenAI's API reference that a model can have a default
# for. Only these are copied: a config also holds secrets.
DEFAULTS = frozenset(
    {
        "dimensions",
        "encoding_format",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "min_p",
        "parallel_tool_calls",
        "presence_penalty",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
    }
)
_READ = frozenset(
    {
        "api_base",
        "api_key",
        "base_url",
        "budget_duration",
        "custom_llm_provider",
        "litellm_credential_name",
        "max_budget",
        "max_completion_tokens",
        "max_parallel_requests",
        "max_tokens",
        "model",
        "order",
        "rpm",
        "tags",
        "timeout",
        "tpm",
    }
)
_NO_HEADERS = ("a provider gets no headers beyond its secret", "use a key that stands for it")
REASONS: dict[str, tuple[str, str]] = {
    "extra_headers": _NO_HEADERS,
    "headers": _NO_HEADERS,
    "organization": (
        "a provider gets no headers beyond its secret",
        "use a key of that organization",
    ),
    "extra_body": ("it was not read", "write its members under defaults: of the model"),
    "weight": ("the import carries one deployment over", "write it in models.yaml"),
    "stream_timeout": ("a provider has one idle_timeout_seconds, for streams and others", ""),
    "max_retries": ("the gateway does not retry", "OpenAI's SDKs do, twice unless told otherwise"),
    "num_retries": ("the gateway does not retry", "OpenAI's SDKs do, twice unless told otherwise"),
    "drop_params": (
        "parameters reach the provider as the caller wrote them",
        "callers leave out what the model does not know",
    ),
    "additional_drop_params": (
        "parameters reach the provider as the caller wrote them",
        "callers leave out what the model does not know",
    ),
    "mock_response": ("answers come from providers only", "`tollhouse up` plays a provider"),
}
# Descriptions of a model or of how LiteLLM is to speak to it, by which nothing is limited.
_SAID_ALREADY = frozenset(
    {
        "api_version",
        "allowed_openai_params",
        "use_in_pass_through",
        "merge_reasoning_content_in_choices",
    }
)
_INFO_READ = frozenset(
    {
        "access_groups",
        "base_model",
        "created_at",
        "created_by",
        "db_model",
        "description",
        "id",
        "input_cost_per_token",
        "key",
        "litellm_provider",
        "max_input_tokens",
        "max_output_tokens",
        "max_tokens",
        "mode",
        "output_vector_size",
        "supported_openai_params",
        "tags",
        "updated_at",
        "updated_by",
        "version",
    }
)


def defaults_of(params: dict[str, Any], what: str, notes: Notes) -> dict[str, Any]:
    """The request parameters that LiteLLM sets where the caller sets none."""
    found = {
        name: with_text_keys(params[name])
        for name in params
        if name in DEFAULTS and params[name] is not None
    }
    for name in [name for name, value in found.items() if variable(value) is not None]:
        del found[name]
        why = "its value is in an environment variable, which a policy does not read"
        notes.drop("models", f"{name} of {what}", why, "write the value under defaults:")
    return found


def drop_unknown(params: dict[str, Any], info: dict[str, Any], what: str, notes: Notes) -> None:
    """Notes every further field, by name alone: some hold secrets."""
    for name, value in params.items():
        if (
            name not in _READ | DEFAULTS | _SAID_ALREADY
            and "cost" not in name
            and value is not None
        ):
            why, instead = REASONS.get(name, ("a model here has nothing like it", ""))
            notes.drop("models", f"{name} of {what}", why, instead)
    for name, value in info.items():
        known = name in _INFO_READ or name.startswith("supports_") or "cost" in name
        if not known and value is not None:
            notes.drop("models", f"model_info.{name} of {what}", "a model here has nothing like it")
