"""The policy of these tests: one alias for each kind of call, on an OpenAI and on an Anthropic."""

from __future__ import annotations

from pathlib import Path

from tests.support import e2e_policy
from tests.support.e2e_policy import PRICE, key

PROVIDERS = """\
providers:
  openai:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
    idle_timeout_seconds: 2
  anthropic:
    dialect: anthropic
    base_url: https://api.anthropic.com/v1
    api_key: ${ANTHROPIC_API_KEY}
    auth_header: x-api-key
    idle_timeout_seconds: 2
"""

MODELS = f"""\
models:
  chat:
    provider: openai
    model: gpt-4o-2024-11-20
    endpoints: [chat/completions]
    max_output_tokens: 1000
    price: {PRICE}
  embed:
    provider: openai
    model: text-embedding-3-small
    endpoints: [embeddings]
    price: {{input_per_million: 0.02, output_per_million: 0}}
  secret:
    provider: openai
    model: gpt-4
    price: {PRICE}
"""

TEAM = f"""\
team: apps
projects:
  clients:
    allowed_models: [chat, embed]
    keys:
{key("app")}\
{key("narrow", "  allowed_models: [embed]")}\
{key("blocked", "  blocked: true")}\
{key("broke", "  limits: {monthly_spend_usd: 0.001}")}\
"""


def write(directory: Path) -> Path:
    """The tree in `directory`."""
    return e2e_policy.write(directory, providers=PROVIDERS, models=MODELS, teams__web=TEAM)
