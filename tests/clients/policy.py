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
  responses:
    provider: openai
    model: gpt-5.1
    endpoints: [responses]
    max_output_tokens: 1000
    price: {PRICE}
  instruct:
    provider: openai
    model: gpt-3.5-turbo-instruct
    endpoints: [completions]
    max_output_tokens: 1000
    price: {PRICE}
  embed:
    provider: openai
    model: text-embedding-3-small
    endpoints: [embeddings]
    price: {{input_per_million: 0.02, output_per_million: 0}}
  moderate:
    provider: openai
    model: omni-moderation-latest
    endpoints: [moderations]
    price: {{per_request: 0}}
  speak:
    provider: openai
    model: tts-1
    endpoints: [audio/speech]
    price: {{per_million_characters: 15}}
  transcribe:
    provider: openai
    model: whisper-1
    endpoints: [audio/transcriptions, audio/translations]
    price: {{per_minute: 0.006}}
  draw:
    provider: openai
    model: gpt-image-1
    endpoints: [images/generations, images/edits]
    price:
      input_per_million: 5
      input_image_per_million: 10
      output_per_million: 40
  rerank:
    provider: openai
    model: rerank-v3.5
    endpoints: [rerank]
    price: {{per_thousand_searches: 2}}
  claude:
    provider: anthropic
    model: claude-sonnet-4-5
    endpoints: [messages]
    max_output_tokens: 1000
    price:
      input_per_million: 3
      output_per_million: 15
      cached_input_per_million: 0.3
      cache_write_per_million: 3.75
      cache_write_1h_per_million: 6
  secret:
    provider: openai
    model: gpt-4
    price: {PRICE}
"""

TEAM = f"""\
team: apps
projects:
  clients:
    allowed_models: ["*"]
    denied_models: [secret]
    keys:
{key("app")}\
{key("blocked", "  blocked: true")}\
{key("broke", "  limits: {monthly_spend_usd: 0.001}")}\
"""


def write(directory: Path) -> Path:
    """The tree in `directory`."""
    return e2e_policy.write(directory, providers=PROVIDERS, models=MODELS, teams__web=TEAM)
