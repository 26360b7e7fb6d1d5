"""What becomes of LiteLLM's model_list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.litellm import MODELS, imported, with_model


def test_a_model_becomes_an_alias_with_the_providers_name_for_it(tmp_path: Path) -> None:
    result = with_model(tmp_path, "{model: groq/llama-3.3-70b-versatile}")
    assert result.models["it"] == {"provider": "groq", "model": "llama-3.3-70b-versatile"}
    assert result.done.problems == []


@pytest.mark.parametrize(
    ("params", "provider", "model"),
    [
        ("{model: gpt-4o}", "openai", "gpt-4o"),
        ("{model: o3-mini}", "openai", "o3-mini"),
        ("{model: 'ft:gpt-4o:acme::1'}", "openai", "ft:gpt-4o:acme::1"),
        ("{model: claude-sonnet-4-5}", "anthropic", "claude-sonnet-4-5"),
        ("{model: openrouter/qwen/qwen3-32b}", "openrouter", "qwen/qwen3-32b"),
        ("{model: gpt-oss, custom_llm_provider: groq}", "groq", "gpt-oss"),
        ("{model: groq/gpt-oss, custom_llm_provider: groq}", "groq", "gpt-oss"),
    ],
)
def test_the_provider_is_read_as_litellm_reads_it(
    tmp_path: Path, params: str, provider: str, model: str
) -> None:
    alias = with_model(tmp_path, params).models["it"]
    assert (alias["provider"], alias["model"]) == (provider, model)


@pytest.mark.parametrize(
    ("params", "info", "ours"),
    [
        (
            "{model: gpt-4o, rpm: 60, tpm: 100000}",
            "{}",
            {"limits": {"requests_per_minute": 60, "tokens_per_minute": 100000}},
        ),
        ("{model: gpt-4o, rpm: '60'}", "{}", {"limits": {"requests_per_minute": 60}}),
        (
            "{model: gpt-4o, max_parallel_requests: 4}",
            "{}",
            {"limits": {"max_parallel_requests": 4}},
        ),
        (
            "{model: gpt-4o, max_budget: 10.5, budget_duration: 1d}",
            "{}",
            {"limits": {"daily_spend_usd": 10.5}},
        ),
        (
            "{model: gpt-4o, temperature: 0.2, top_p: 1, stop: ['a\\n']}",
            "{}",
            {"defaults": {"temperature": 0.2, "top_p": 1, "stop": ["a\\n"]}},
        ),
        (
            "{model: gpt-4o, logit_bias: {50256: -100}}",
            "{}",
            {"defaults": {"logit_bias": {"50256": -100}}},
        ),
        (
            "{model: gpt-4o, max_tokens: 100}",
            "{max_output_tokens: 16384}",
            {"max_output_tokens": 100},
        ),
        (
            "{model: gpt-4o}",
            "{max_output_tokens: 16384, max_input_tokens: 128000}",
            {"max_output_tokens": 16384, "max_input_tokens": 128000},
        ),
        ("{model: gpt-4o}", "{max_tokens: 16384}", {"max_output_tokens": 16384}),
        ("{model: gpt-4o}", "{description: 'For\n  all'}", {"description": "For all"}),
        (
            "{model: gpt-4o}",
            "{access_groups: [beta models], tags: [eu]}",
            {"tags": ["beta-models", "eu"]},
        ),
        (
            "{model: gpt-4o, tags: [eu]}",
            "{mode: chat, id: x, supports_vision: true}",
            {"tags": ["eu"]},
        ),
        ("{model: gpt-4o}", "{mode: embedding}", {"endpoints": ["embeddings"]}),
        ("{model: text-embedding-3-small}", "{}", {"endpoints": ["embeddings"]}),
    ],
)
def test_each_field_of_a_model_has_its_equal(
    tmp_path: Path, params: str, info: str, ours: dict[str, Any]
) -> None:
    result = with_model(tmp_path, params, info)
    alias = result.models["it"]
    assert {name: alias[name] for name in alias if name not in ("provider", "model")} == ours
    assert result.not_carried == []
    assert result.done.problems == []


@pytest.mark.parametrize(
    ("params", "info", "said"),
    [
        ("{model: bedrock/anthropic.claude-v2}", "{}", "AWS Bedrock are signed"),
        ("{model: vertex_ai/gemini-pro}", "{}", "Google's short-lived tokens"),
        (
            "{model: huggingface/x/y}",
            "{}",
            "no OpenAI-compatible address of 'huggingface' is known",
        ),
        ("{model: gemini-1.5-pro}", "{}", "does not say which provider"),
        ("{api_base: 'https://a.test'}", "{}", "states no model"),
        ("{model: hosted_vllm/x}", "{}", "'hosted_vllm' has no address of its own"),
        ("{model: openai/x, api_base: os.environ/BASE}", "{}", "environment variable BASE"),
        ("{model: openai/x, api_base: 'https://a.test/v1?x=1'}", "{}", "'base_url' must be a URL"),
        (
            "{model: anthropic/x, api_base: 'https://proxy.test'}",
            "{}",
            "own dialect of 'anthropic'",
        ),
        ("{model: azure/x, api_base: 'https://proxy.test'}", "{}", "not that of an Azure OpenAI"),
        (
            "{model: azure/x, api_base: 'https://a.openai.azure.com', azure_ad_token: t}",
            "{}",
            "Microsoft Entra",
        ),
        ("{model: openai/x, api_key: oidc/google/a}", "{}", "fetched from another service"),
        ("{model: openai/x, api_key: os.environ/A-B}", "{}", "names no environment variable"),
        ("{model: openai/responses/gpt-5}", "{}", "the responses endpoint is not open"),
        ("{model: openai/dall-e-3}", "{}", "by its name it is for image_generation"),
        ("{model: openai/x}", "{mode: audio_speech}", "mode is audio_speech"),
        ("{model: openai/x}", "{mode: rerank}", "mode is rerank"),
        ("{model: openai/x}", "{mode: completion}", "mode is completion"),
        ("{model: openai/*}", "{}", "a wildcard stands for models that the config does not name"),
        ("{model: openai/x, rpm: 0}", "{}", "a limit of 0 allows no call"),
    ],
)
def test_a_model_that_cannot_be_carried_is_left_out_and_the_reason_said(
    tmp_path: Path, params: str, info: str, said: str
) -> None:
    result = with_model(tmp_path, params, info)
    assert set(result.models) == {"small", "large"}
    [note] = result.not_carried
    assert note.startswith("model 'it': ") and said in note
    assert result.done.problems == []
    assert set(result.providers) == {"openai"}


@pytest.mark.parametrize("name", ["openai/*", "*", "two words", "tag:x", "ü", "x" * 129])
def test_a_name_that_no_alias_can_have_is_said(tmp_path: Path, name: str) -> None:
    entry = f"  - model_name: '{name}'\n    litellm_params: {{model: openai/gpt-4o}}\n"
    result = imported(tmp_path, MODELS + entry)
    assert set(result.models) == {"small", "large"}
    assert len(result.not_carried) == 1


@pytest.mark.parametrize(
    ("params", "info", "said"),
    [
        (
            "{extra_headers: {x: y}}",
            "{}",
            "extra_headers of model 'it': a provider gets no headers",
        ),
        ("{organization: org-1}", "{}", "organization of model 'it': a provider gets no headers"),
        ("{num_retries: 3}", "{}", "num_retries of model 'it': the gateway does not retry"),
        ("{aws_secret: x}", "{}", "aws_secret of model 'it': a model here has nothing like it"),
        (
            "{temperature: os.environ/T}",
            "{}",
            "temperature of model 'it': its value is in an environ",
        ),
        ("{rpm: many}", "{}", "rpm of model 'it': not a whole number"),
        ("{max_tokens: -1}", "{}", "the max_output_tokens of model 'it': not a whole number"),
        ("{timeout: 7200}", "{}", "a timeout of provider 'openai': not a number of seconds up to"),
        ("{max_budget: 5}", "{}", "the budget of model 'it' (5 USD without budget_duration)"),
        (
            "{}",
            "{team_id: x}",
            "model_info.team_id of model 'it': a model here has nothing like it",
        ),
    ],
)
def test_a_field_without_equal_is_named_and_the_model_carried(
    tmp_path: Path, params: str, info: str, said: str
) -> None:
    result = with_model(tmp_path, f"{{model: gpt-4o, {params[1:]}", info)
    assert "it" in result.models
    [note] = result.not_carried
    assert note.startswith(said)
    assert result.done.problems == []


def test_of_several_deployments_the_first_that_can_be_carried_is(tmp_path: Path) -> None:
    result = imported(
        tmp_path,
        """\
        model_list:
          - {model_name: chat, litellm_params: {model: bedrock/claude, order: 0}}
          - model_name: chat
            litellm_params: {model: gpt-4o-mini, order: 2}
            model_info: {access_groups: [a]}
          - {model_name: chat, litellm_params: {model: gpt-4o, order: 1}}
        """,
    )
    assert result.models == {"chat": {"provider": "openai", "model": "gpt-4o", "tags": ["a"]}}
    signed, spread = result.not_carried
    assert signed.startswith("model 'chat' (deployment 1 of 3): requests to AWS Bedrock are signed")
    assert spread.startswith(
        "model 'chat' (deployment 3 of 3), gpt-4o-mini: the import carries one"
    )


def test_a_routing_tag_called_like_an_access_group_does_not_widen_it(tmp_path: Path) -> None:
    result = with_model(tmp_path, "{model: gpt-4o, tags: [cheap]}")
    assert (result.models["small"]["tags"], result.models["it"]["tags"]) == (["cheap"], ["cheap-2"])


def test_named_credentials_stand_under_the_deployments_own_fields(tmp_path: Path) -> None:
    more = """\
    credential_list:
      - credential_name: eu
        credential_values: {api_key: os.environ/EU_KEY, api_base: "https://eu.api.openai.com/v1"}
    """
    result = with_model(tmp_path, "{model: openai/gpt-4o, litellm_credential_name: eu}", more=more)
    provider = result.providers[result.models["it"]["provider"]]
    assert provider["api_key"] == "${EU_KEY}"
    assert provider["base_url"] == "https://eu.api.openai.com/v1"


def test_a_config_may_include_others(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text(MODELS.replace("small", "tiny"))
    result = imported(tmp_path, f"include: [more.yaml]\n{MODELS}")
    assert set(result.models) == {"small", "large", "tiny"}


# Fallbacks and aliases


def test_a_group_alias_is_one_more_alias_of_the_same_deployment(tmp_path: Path) -> None:
    more = (
        "router_settings: {model_group_alias: {gpt: large, mini: {model: small, hidden: true}}}\n"
    )
    result = imported(tmp_path, MODELS + more)
    assert result.models["gpt"] == result.models["large"]
    assert result.models["mini"] == result.models["small"]
    assert result.not_carried == []


@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ("{x: nowhere}", "model_group_alias 'x' for 'nowhere': its model was not carried over"),
        ("{small: large}", "model_group_alias 'small' for 'large': a model has that name already"),
        ("{'a b': large}", "model_group_alias 'a b' for 'large': an alias cannot have that name"),
    ],
)
def test_a_group_alias_that_cannot_be_is_said(tmp_path: Path, alias: str, said: str) -> None:
    result = imported(tmp_path, f"{MODELS}router_settings: {{model_group_alias: {alias}}}\n")
    assert set(result.models) == {"small", "large"}
    [note] = result.not_carried
    assert note.startswith(said)


@pytest.mark.parametrize(
    ("section", "setting", "said"),
    [
        ("litellm_settings", "fallbacks: [{small: [large]}]", "fallbacks: small → large"),
        ("router_settings", "fallbacks: [{small: [{model: large}]}]", "fallbacks: small → large"),
        (
            "litellm_settings",
            "context_window_fallbacks: [{small: [large, x]}]",
            "context_window_fallbacks: small → large, x",
        ),
        (
            "litellm_settings",
            "default_fallbacks: [large]",
            "default_fallbacks: every model → large",
        ),
    ],
)
def test_fallbacks_are_listed_as_such(
    tmp_path: Path, section: str, setting: str, said: str
) -> None:
    result = imported(tmp_path, f"{MODELS}{section}:\n  {setting}\n")
    [note] = result.not_carried
    assert note.startswith(f"{said}: the import carries no fallbacks over")


# What is carried and works differently


def test_what_works_differently_is_said(tmp_path: Path) -> None:
    result = with_model(tmp_path, "{model: gpt-4o, rpm: 5, max_tokens: 100}")
    said = "\n".join(result.to_know)
    assert "limits of it: rpm and tpm are limits here" in said
    assert "model 'it': max_tokens was a default; as max_output_tokens it also clamps" in said
    assert "2 models without max_tokens: where the caller gives no maximum" in said
