"""Which providers an import writes, and that no secret of a config is ever written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.litellm import MODELS, Result, imported, with_model
from tollhouse.importing.addresses import KNOWN

LITERAL = "sk-literalKeyThatNobodyMaySee01"


def provider_of(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = result.providers[result.models["it"]["provider"]]
    return found


@pytest.mark.parametrize("slug", sorted(slug for slug, known in KNOWN.items() if known.base_url))
def test_a_known_provider_is_reached_at_its_compatible_address(tmp_path: Path, slug: str) -> None:
    result = with_model(tmp_path, f"{{model: {slug}/some-model}}")
    provider = provider_of(result)
    assert provider["base_url"] == KNOWN[slug].base_url
    assert provider["api_key"] == f"${{{KNOWN[slug].variable}}}"
    assert result.done.problems == []


def test_one_provider_is_written_for_each_address_and_secret(tmp_path: Path) -> None:
    result = imported(
        tmp_path,
        """\
        model_list:
          - {model_name: a, litellm_params: {model: gpt-4o, api_key: os.environ/ONE}}
          - {model_name: b, litellm_params: {model: openai/gpt-4o-mini, api_key: os.environ/ONE}}
          - {model_name: c, litellm_params: {model: gpt-4o, api_key: os.environ/TWO}}
          - {model_name: d, litellm_params: {model: openai/x, api_base: "https://a.test/v1/"}}
        """,
    )
    assert {name: file["provider"] for name, file in result.models.items()} == {
        "a": "openai",
        "b": "openai",
        "c": "openai-2",
        "d": "a.test",
    }
    secrets = {name: file["api_key"] for name, file in result.providers.items()}
    assert secrets == {"openai": "${ONE}", "openai-2": "${TWO}", "a.test": "${OPENAI_API_KEY}"}
    assert result.providers["a.test"]["base_url"] == "https://a.test/v1"


@pytest.mark.parametrize(
    ("params", "fields"),
    [
        ("{model: gpt-4o}", {}),
        ("{model: groq/x}", {"max_tokens_field": "max_tokens"}),
        ("{model: mistral/x}", {"max_tokens_field": "max_tokens", "stream_usage": "always"}),
        ("{model: openai/x, api_base: 'https://a.test/v1'}", {"max_tokens_field": "max_tokens"}),
        ("{model: openai/x, api_base: 'https://eu.api.openai.com/v1'}", {}),
        ("{model: azure/x, api_base: 'https://a.openai.azure.com/'}", {"auth_header": "api-key"}),
        ("{model: gpt-4o, timeout: 30}", {"idle_timeout_seconds": 30}),
        ("{model: gpt-4o, timeout: 0.5}", {"idle_timeout_seconds": 0.5}),
        (
            "{model: openai/x, api_base: 'http://vllm:8000/v1'}",
            {"allow_plain_http": True, "max_tokens_field": "max_tokens"},
        ),
        (
            "{model: openai/x, api_base: 'http://127.0.0.1:8000/v1'}",
            {"max_tokens_field": "max_tokens"},
        ),
    ],
)
def test_a_provider_has_the_fields_that_its_kind_needs(
    tmp_path: Path, params: str, fields: dict[str, Any]
) -> None:
    result = with_model(tmp_path, params)
    given = {"dialect", "base_url", "api_key"}
    found = {name: value for name, value in provider_of(result).items() if name not in given}
    assert found == fields
    assert result.done.problems == []


def test_azure_is_called_through_its_v1_api_by_the_deployments_name(tmp_path: Path) -> None:
    base = "api_base: 'https://acme.openai.azure.com/x', api_version: '2024-10-21'"
    params = f"{{model: azure/o_series/my-deployment, {base}}}"
    result = with_model(tmp_path, params)
    assert result.models["it"] == {"provider": "azure-acme", "model": "my-deployment"}
    assert provider_of(result)["base_url"] == "https://acme.openai.azure.com/openai/v1"
    assert any("Azure's v1 API, not through the api_version" in note for note in result.to_know)


@pytest.mark.parametrize("base", ["http://host.test:11434", "http://host.test:11434/v1/"])
def test_ollama_is_called_at_its_compatible_path(tmp_path: Path, base: str) -> None:
    result = with_model(tmp_path, f"{{model: ollama/llama3, api_base: '{base}'}}")
    assert provider_of(result)["base_url"] == "http://host.test:11434/v1"


@pytest.mark.parametrize("base", ["https://api.anthropic.com", "https://api.anthropic.com/v1"])
def test_anthropics_own_address_becomes_its_compatible_one(tmp_path: Path, base: str) -> None:
    result = with_model(tmp_path, f"{{model: anthropic/x, api_base: '{base}'}}")
    assert provider_of(result)["base_url"] == "https://api.anthropic.com/v1"


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ("litellm_settings: {request_timeout: 10}", 10),
        ("router_settings: {timeout: 20}\nlitellm_settings: {request_timeout: 10}", 20),
    ],
)
def test_deployments_without_a_timeout_have_that_of_the_settings(
    tmp_path: Path, more: str, seconds: int
) -> None:
    result = imported(tmp_path, f"{MODELS}{more}\n")
    assert result.providers["openai"]["idle_timeout_seconds"] == seconds
    assert result.not_carried == []


def test_of_two_timeouts_of_a_provider_the_longer_one_is_taken_and_said(tmp_path: Path) -> None:
    more = "litellm_settings: {request_timeout: 10}\n"
    result = with_model(tmp_path, "{model: gpt-4o, timeout: 30}", more=more)
    assert result.providers["openai"]["idle_timeout_seconds"] == 30
    assert any("different timeouts" in note for note in result.to_know)


# Secrets


def test_a_literal_key_is_written_nowhere_and_a_variable_named_for_it(tmp_path: Path) -> None:
    result = with_model(tmp_path, f"{{model: groq/x, api_key: {LITERAL}}}")
    assert provider_of(result)["api_key"] == "${GROQ_API_KEY_2}"
    assert LITERAL not in result.everything
    [note] = [note for note in result.to_know if "plain text" in note]
    assert note.startswith("the api_key of 'groq'") and "GROQ_API_KEY_2" in note


def test_the_variable_of_a_literal_key_is_no_other_keys(tmp_path: Path) -> None:
    result = imported(
        tmp_path,
        """\
        model_list:
          - {model_name: a, litellm_params: {model: gpt-4o, api_key: one}}
          - {model_name: b, litellm_params: {model: gpt-4o, api_key: two}}
          - {model_name: c, litellm_params: {model: gpt-4o, api_key: one}}
          - {model_name: d, litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY}}
          - {model_name: e, litellm_params: {model: gpt-4o, api_key: os.environ/OPENAI_API_KEY_3}}
          - {model_name: f, litellm_params: {model: gpt-4o, api_key: 1234}}
        """,
    )
    assert {
        name: result.providers[file["provider"]]["api_key"] for name, file in result.models.items()
    } == {
        "a": "${OPENAI_API_KEY_2}",
        "b": "${OPENAI_API_KEY_4}",
        "c": "${OPENAI_API_KEY_2}",
        "d": "${OPENAI_API_KEY}",
        "e": "${OPENAI_API_KEY_3}",
        "f": "${OPENAI_API_KEY_5}",
    }


def test_a_key_that_is_not_stated_is_the_providers_usual_one(tmp_path: Path) -> None:
    result = with_model(tmp_path, f"{{model: gpt-4o, api_key: {LITERAL}}}")
    assert result.providers["openai"]["api_key"] == "${OPENAI_API_KEY}"
    assert provider_of(result)["api_key"] == "${OPENAI_API_KEY_2}"


@pytest.mark.parametrize(
    "where",
    [
        "{model: groq/x, aws_secret_access_key: SECRET}",
        "{model: groq/x, extra_headers: {authorization: SECRET}}",
        "{model: azure/x, api_base: 'https://a.openai.azure.com', azure_ad_token: SECRET}",
        "{model: huggingface/x, api_key: SECRET}",
        "{model: groq/x, api_base: 'https://user:SECRET@a.test/v1'}",
    ],
)
def test_no_secret_of_a_model_is_repeated(tmp_path: Path, where: str) -> None:
    result = with_model(tmp_path, where.replace("SECRET", "quite-secret"))
    assert "quite-secret" not in result.everything


@pytest.mark.parametrize(
    "where",
    [
        "general_settings: {master_key: SECRET, database_url: 'postgres://u:SECRET@h/d'}",
        "litellm_settings: {cache_params: {password: SECRET}, unheard_of: SECRET}",
        "router_settings: {redis_password: SECRET}",
        "environment_variables: {LANGFUSE_SECRET_KEY: SECRET}",
        "unheard_of: SECRET",
        "credential_list: [{credential_name: x, credential_values: {api_key: SECRET}}]",
    ],
)
def test_no_secret_of_the_settings_is_repeated(tmp_path: Path, where: str) -> None:
    result = imported(tmp_path, f"{MODELS}{where.replace('SECRET', 'quite-secret')}\n")
    assert "quite-secret" not in result.everything
