"""Where LiteLLM's providers answer in OpenAI's dialect, and under which name LiteLLM knows them.

Addresses are those of the providers' own pages on OpenAI compatibility; variables those that
LiteLLM's provider pages name. A provider that is not in `KNOWN` is never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tollhouse.importing.notes import NotCarried
from tollhouse.importing.values import text, variable


@dataclass(frozen=True, slots=True)
class Known:
    """`base_url` None: the config must state it. `native`: LiteLLM speaks the provider's own
    dialect to an api_base, which is then not the address we need."""

    base_url: str | None
    variable: str
    native: bool = False
    max_tokens_field: str = "max_tokens"
    stream_usage: str = "requested"
    auth_header: str = "authorization"


_NEWER = "max_completion_tokens"
KNOWN = {
    "openai": Known("https://api.openai.com/v1", "OPENAI_API_KEY", max_tokens_field=_NEWER),
    # Azure's v1 API takes the resource's key in this header, and the deployment's name as model.
    "azure": Known(None, "AZURE_API_KEY", max_tokens_field=_NEWER, auth_header="api-key"),
    "anthropic": Known("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", native=True),
    # Reports the usage of streams unasked, and has answered 422 to stream_options.
    "mistral": Known("https://api.mistral.ai/v1", "MISTRAL_API_KEY", stream_usage="always"),
    "groq": Known("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "deepseek": Known("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "together_ai": Known("https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "fireworks_ai": Known("https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"),
    "perplexity": Known("https://api.perplexity.ai", "PERPLEXITYAI_API_KEY"),
    "xai": Known("https://api.x.ai/v1", "XAI_API_KEY"),
    "openrouter": Known("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "gemini": Known(
        "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY", native=True
    ),
    "cohere": Known("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", native=True),
    "cohere_chat": Known("https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", native=True),
    "cerebras": Known("https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "nvidia_nim": Known("https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "deepinfra": Known("https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    "sambanova": Known("https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY"),
    "hosted_vllm": Known(None, "HOSTED_VLLM_API_KEY"),
    "lm_studio": Known(None, "LM_STUDIO_API_KEY"),
    "xinference": Known(None, "XINFERENCE_API_KEY"),
    "openai_like": Known(None, "OPENAI_LIKE_API_KEY"),
    "custom_openai": Known(None, "OPENAI_API_KEY"),
    "litellm_proxy": Known(None, "LITELLM_PROXY_API_KEY"),
    "ollama": Known("http://localhost:11434/v1", "OLLAMA_API_KEY"),
    "ollama_chat": Known("http://localhost:11434/v1", "OLLAMA_API_KEY"),
}

_OTHER_AUTH = {
    "bedrock": "requests to AWS Bedrock are signed",
    "bedrock_converse": "requests to AWS Bedrock are signed",
    "sagemaker": "requests to AWS SageMaker are signed",
    "sagemaker_chat": "requests to AWS SageMaker are signed",
    "vertex_ai": "Vertex AI takes Google's short-lived tokens",
    "vertex_ai_beta": "Vertex AI takes Google's short-lived tokens",
    "watsonx": "watsonx takes IBM's short-lived tokens",
    "oci": "requests to Oracle's cloud are signed",
}
_BARE = (
    (re.compile(r"(?:gpt-|chatgpt-|o\d|text-embedding-|ft:|codex|dall-e|whisper|tts-)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
)
_AZURE_HOST = re.compile(r"[a-z0-9-]+\.(?:openai|cognitiveservices)\.azure\.com", re.IGNORECASE)
_ROUTES = re.compile(r"(?:o_series|gpt5_series|converse|chat)/")
BY_HAND = "write a provider with its address in providers.yaml, and the model in models.yaml"


def split_model(params: dict[str, Any]) -> tuple[str, str]:
    """The provider's name in LiteLLM, and the provider's name for the model.

    Raises:
        NotCarried: the provider is not stated, not known, or cannot be called from here.
    """
    slug, model = _split(text(params.get("model")), text(params.get("custom_llm_provider")))
    if slug in _OTHER_AUTH:
        raise NotCarried(
            f"{_OTHER_AUTH[slug]}, and a policy's providers take a fixed secret",
            "put a service with OpenAI's dialect in front of it, or reach the model elsewhere",
        )
    if slug not in KNOWN:
        raise NotCarried(f"no OpenAI-compatible address of '{slug}' is known here", BY_HAND)
    if model.startswith("responses/"):
        raise NotCarried("the responses endpoint is not open", "call its chat/completions")
    return slug, _ROUTES.sub("", model, count=1) if slug.startswith("azure") else model


def _split(model: str, stated: str) -> tuple[str, str]:
    if not model:
        raise NotCarried("litellm_params states no model", "write provider: and model: for it")
    if stated:
        return stated, model.removeprefix(f"{stated}/")
    prefix, slash, rest = model.partition("/")
    if slash:
        return prefix, rest
    for pattern, slug in _BARE:
        if pattern.match(model):
            return slug, model
    raise NotCarried("litellm_params does not say which provider the model is of", BY_HAND)


def base_url(slug: str, params: dict[str, Any]) -> str:
    """The OpenAI-compatible address of one deployment.

    Raises:
        NotCarried: there is none, or it is not known.
    """
    stated = text(params.get("api_base")) or text(params.get("base_url"))
    if (named := variable(stated)) is not None:
        why = f"its address is in the environment variable {named}, which a policy does not read"
        raise NotCarried(why, BY_HAND)
    if slug == "azure":
        return _azure(stated, params)
    known = KNOWN[slug]
    if not stated and known.base_url is None:
        raise NotCarried(f"'{slug}' has no address of its own and api_base is not stated", BY_HAND)
    if slug.startswith("ollama") and stated:
        return stated.rstrip("/").removesuffix("/v1") + "/v1"
    if stated and known.native and _host(stated) != _host(known.base_url or ""):
        why = f"its api_base speaks the own dialect of '{slug}', and only 'openai' is spoken here"
        raise NotCarried(why, BY_HAND)
    return known.base_url if known.native and known.base_url else stated or known.base_url or ""


def _azure(stated: str, params: dict[str, Any]) -> str:
    tokens = ("azure_ad_token", "tenant_id", "client_id", "azure_scope")
    if any(params.get(name) for name in tokens):
        raise NotCarried(
            "it signs in with Microsoft Entra, whose tokens are short-lived",
            "give the deployment an API key and write a provider with auth_header: api-key",
        )
    host = _host(stated)
    if not _AZURE_HOST.fullmatch(host):
        raise NotCarried("its api_base is not that of an Azure OpenAI resource", BY_HAND)
    return f"https://{host}/openai/v1"


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    """Whether an address stays on this machine, as the policy's rule for http:// sees it."""
    host = _host(url)
    return host in ("localhost", "::1") or host.startswith("127.")


def is_openai(url: str) -> bool:
    """Whether an address is one of OpenAI's own, regional ones included."""
    return _host(url) == "api.openai.com" or _host(url).endswith(".api.openai.com")


def place_of(slug: str, url: str) -> str:
    """A name for a provider: LiteLLM's at its own address, else that of the host.

    The public price list goes by provider names that begin with a known one, so a host that only
    speaks OpenAI's dialect must not be named after OpenAI.
    """
    host = _host(url)
    if slug == "azure":
        return f"azure-{host.partition('.')[0]}"
    own = KNOWN[slug].base_url
    return slug if own and host == _host(own) else host
