"""A policy of models with several deployments, fallbacks, stored responses, open endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.unit.authz.builders import key
from tollhouse import keys
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import load_snapshot

PROVIDERS = "providers:\n" + "".join(
    f"  {name}: {{dialect: {dialect}, base_url: 'https://{name}.test/v1', api_key: '${{KEY}}'}}\n"
    for name, dialect in {
        "openai": "openai",
        "azure": "openai",
        "spare": "openai",
        "claude": "anthropic",
    }.items()
)

MODELS = """\
models:
  # Its own three, the last only when the others fail; then what it falls back to.
  chat:
    deployments:
      - {provider: openai, model: gpt-4o, weight: 3}
      - {provider: azure, model: gpt-4o, weight: 1}
      - {provider: spare, model: llama, order: 2}
    endpoints: [chat/completions, responses]
    fallbacks: [backup, twofold]
  backup: {provider: spare, model: backup, endpoints: [chat/completions, responses]}
  twofold:
    deployments:
      - {provider: openai, model: gpt-4o-mini, order: 2}
      - {provider: claude, model: claude, order: 1}
    endpoints: [chat/completions, messages]
  hopeful: {provider: openai, model: gpt-4.1, fallbacks: [FALLBACK]}
  forbidden: {provider: spare, model: forbidden}
  vectors: {provider: spare, model: vectors, endpoints: [embeddings]}
  limited: {provider: spare, model: limited, limits: {requests_per_minute: 5}}
  limited-for-key: {provider: spare, model: limited-for-key}
  limited-for-team: {provider: spare, model: limited-for-team}
  free: {provider: spare, model: free}
  keeper:
    deployments:
      - {provider: azure, model: first}
      - {provider: azure, model: second}
    endpoints: [responses]
  elsewhere: {provider: spare, model: elsewhere, endpoints: [responses]}
  uploads: {provider: openai, endpoints: [files, batches], tags: [open]}
  uploads-too: {provider: azure, endpoints: [files]}
groups: {opened: [uploads], all: ["*"]}
"""

CALLABLE = (
    *("chat", "backup", "twofold", "hopeful", "vectors", "limited", "limited-for-key"),
    *("limited-for-team", "free", "keeper", "elsewhere"),
)

# What each key of the team is allowed, in the words of the policy.
ALLOWED: Mapping[str, str] = {
    "caller": ", ".join(CALLABLE),
    "other": ", ".join(CALLABLE),
    "star": '"*"',
    "tagged": "'tag:open'",
    "grouped": "'group:opened', 'group:all'",
    "patterned": "'uploads*', 'upload?'",
    "uploader": "uploads",
    "double": "uploads, uploads-too",
    "widely": "'*', uploads",
}


def _keys() -> str:
    return "".join(
        f"      - {{id: {name}, sha256: {keys.sha256_hex(key(name))}, allowed_models: [{allowed}],"
        f" model_limits: {{limited-for-key: {{requests_per_minute: 2}}}}}}\n"
        for name, allowed in ALLOWED.items()
    )


TEAM = f"""\
team: web
owner: web-leads
model_limits: {{limited-for-team: {{requests_per_day: 2}}}}
projects:
  site:
    keys:
{_keys()}\
"""


def company(directory: Path, *, fallback: str = "free", without: str = "") -> Snapshot:
    """The policy, with this fallback for `hopeful`; `without` is a text of models.yaml to leave
    out."""
    models = MODELS.replace("FALLBACK", fallback).replace(without or "\0", "")
    (directory / "teams").mkdir(parents=True)
    texts = {"providers": PROVIDERS, "models": models, "teams/web": TEAM}
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    return load_snapshot(directory)
