"""A policy with a key for every answer, and Envoy's question about a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from tests.support.policy import write_tree
from tollhouse import contract, keys
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

NOW = 1_795_521_600.0  # 2026-11-24T12:00:00Z

MODELS = """\
models:
  small:
    provider: openai
    model: gpt-4o-mini
    max_output_tokens: 1000
    defaults: {temperature: 0.2}
    tags: [cheap]
    price: {input_per_million: 0.15, output_per_million: 0.6}
  large:
    provider: openai
    model: gpt-4o
    price: {input_per_million: 2.5, output_per_million: 10}
  vectors:
    provider: other
    model: text-embedding-3-small
    endpoints: [embeddings]
    price: {input_per_million: 0.02, output_per_million: 0}
  secret:
    provider: openai
    model: gpt-4
    price: {input_per_million: 30, output_per_million: 60}
"""

PROVIDERS = """\
providers:
  openai:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
  other:
    dialect: openai
    base_url: https://llm.other.test/v1
    api_key: ${OTHER_API_KEY}
    max_tokens_field: max_tokens
    stream_usage: always
"""


def key(name: str) -> str:
    """The key that the policy knows under this id; the same in every run."""
    return keys.with_checksum(name.replace("-", "").ljust(32, "0"))


def _stanza(name: str, *lines: str) -> str:
    first = (f"- id: {name}", f"  sha256: {keys.sha256_hex(key(name))}")
    return "".join(f"      {line}\n" for line in (*first, *(f"  {line}" for line in lines)))


def replaced(name: str, until: str = "2026-12-05") -> str:
    """What a rotation leaves of the key that had this name."""
    return f"{{sha256: {keys.sha256_hex(key(name))}, valid_until: {until}}}"


WEB = f"""\
team: web
owner: web-leads
denied_models: [secret]
projects:
  site:
    allowed_models: [small, large, vectors, secret]
    keys:
{_stanza("app", "env: prod")}\
{_stanza("narrow", "allowed_models: [small]")}\
{_stanza("picky", "denied_models: [large]")}\
{_stanza("blocked", "blocked: true")}\
{_stanza("expired", "expires: 2026-11-23")}\
{_stanza("expiring", "expires: 2026-11-24")}\
{_stanza("watched", "shadow: {denied_models: [large]}")}\
{_stanza("rotated", f"previous: [{replaced('old')}, {replaced('older', until='2026-11-23')}]")}\
"""

OPS = f"""\
team: ops
projects:
  desk:
    keys:
{_stanza("nothing")}\
  closed:
    blocked: true
    keys:
{_stanza("closed-in")}\
"""

KEY_IDS = (
    *("app", "narrow", "picky", "blocked", "expired", "expiring", "watched", "rotated", "nothing"),
    "closed-in",
)


def write_policy(directory: Path, **overrides: str) -> Path:
    files = {"models": MODELS, "providers": PROVIDERS, "teams__web": WEB, "teams__ops": OPS}
    return write_tree(directory, **{**files, **overrides})


def snapshot_of(directory: Path, **overrides: str) -> Snapshot:
    return load_snapshot(write_policy(directory, **overrides))


@dataclass(frozen=True)
class Sent:
    """A request as it reaches ext_authz: what the client sent, and what request.lua read."""

    headers: Mapping[str, str] = field(default_factory=lambda: {"authorization": bearer("app")})
    path: str = "/v1/chat/completions"
    method: str = "POST"
    facts: Mapping[str, str] | None = field(
        default_factory=lambda: {"endpoint": "chat/completions", "model": "small"}
    )


def bearer(name: str) -> str:
    return f"Bearer {key(name)}"


def check_request(sent: Sent) -> CheckRequest:
    """The message as Envoy would send it, once over the wire."""
    request = CheckRequest()
    http = request.attributes.request.http
    http.method, http.path = sent.method, sent.path
    for name, value in sent.headers.items():
        http.headers[name] = value
    if sent.facts is not None:
        metadata = request.attributes.metadata_context.filter_metadata[contract.REQUEST]
        metadata.update(dict(sent.facts))
    return CheckRequest.FromString(request.SerializeToString())
