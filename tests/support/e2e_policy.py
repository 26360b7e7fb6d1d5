"""The policy tree of the end-to-end tests: one key per purpose, so that tests do not share
limits."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateway import test_key
from tollhouse.keys import sha256_hex

ORG = """\
org: acme
time_zone: UTC
owner: gateway-team@acme.test
max_request_bytes: 20971520
"""

PROVIDERS = """\
providers:
  openai:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
    idle_timeout_seconds: 2
  other:
    dialect: openai
    base_url: https://llm.other.test/openai/v1
    api_key: ${OTHER_API_KEY}
    max_tokens_field: max_tokens
    stream_usage: always
    idle_timeout_seconds: 2
"""

PRICE = "{input_per_million: 2.5, output_per_million: 10, cached_input_per_million: 1.25}"

MODELS = f"""\
models:
  chat:
    provider: openai
    model: gpt-4o-2024-11-20
    max_output_tokens: 1000
    price: {PRICE}
    tags: [cheap]
  chat-defaults:
    provider: openai
    model: gpt-4o-mini
    defaults: {{temperature: 0.2, stop: ["END"], seed: 7}}
    price: {PRICE}
  chat-other:
    provider: other
    model: other-large
    max_output_tokens: 500
    price: {PRICE}
  chat-limited:
    provider: openai
    model: gpt-4o-mini
    max_output_tokens: 100
    limits: {{requests_per_minute: 3}}
    price: {PRICE}
  embed:
    provider: openai
    model: text-embedding-3-small
    endpoints: [embeddings]
    price: {{input_per_million: 0.02, output_per_million: 0, cached_input_per_million: 0.02}}
  secret-model:
    provider: openai
    model: gpt-4
    max_output_tokens: 100
    price: {PRICE}
"""


def key(name: str, extra: str = "") -> str:
    """One entry of `keys:`, eight spaces deep as `tree` wants it."""
    lines = [f"- id: {name}", f"  sha256: {sha256_hex(test_key(name))}", *extra.splitlines()]
    return "".join(f"      {line}\n" for line in lines)


TEAM = f"""\
team: web
owner: web-leads@acme.test
projects:
  site:
    allowed_models: [chat, chat-defaults, chat-other, chat-limited, embed]
    denied_models: []
    keys:
{key("app", "  env: prod")}\
{key("narrow", "  allowed_models: [chat]")}\
{key("blocked", "  blocked: true")}\
{key("expired", "  expires: 2020-01-01")}\
{key("few-requests", "  limits: {requests_per_minute: 2}")}\
{key("few-tokens", "  limits: {tokens_per_minute: 1500}")}\
{key("poor", "  limits: {monthly_spend_usd: 0.02}")}\
{key("one-request", "  limits: {requests_per_minute: 1}")}\
{key("one-at-a-time", "  limits: {max_parallel_requests: 1}")}\
{key("broke", "  limits: {monthly_spend_usd: 0.001}")}\
"""


def write(directory: Path, **files: str) -> Path:
    """The tree in `directory`; `files` replaces or adds, e.g. `models=…`, `teams__ops=…`."""
    wanted = {"org": ORG, "providers": PROVIDERS, "models": MODELS, "teams__web": TEAM, **files}
    for name, text in wanted.items():
        path = directory / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory
