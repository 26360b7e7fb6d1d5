"""The policy of the benchmark: a limit of every kind at every level, none of which is reached."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from tollhouse.keys import sha256_hex

_LIMITS = (
    "{requests_per_minute: 100000000, tokens_per_minute: 1000000000000, monthly_spend_usd: 4000000}"
)


def write(directory: Path, upstream_port: int, key: str) -> Path:
    """The tree in `directory`, whose provider is the upstream at that port of this machine."""
    directory.mkdir()
    secret = directory.parent / "provider.key"
    secret.write_text("bench-provider-key")
    for name, text in _tree(f"http://127.0.0.1:{upstream_port}/v1", secret, key).items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    return directory


def _tree(base_url: str, secret: Path, key: str) -> dict[str, str]:
    return {
        "org.yaml": f"""\
            org: bench
            limits: {_LIMITS}
            """,
        "providers.yaml": f"""\
            providers:
              upstream: {{dialect: openai, base_url: "{base_url}", api_key: "file:{secret}"}}
            """,
        "models.yaml": f"""\
            models:
              bench:
                provider: upstream
                model: bench-model-1
                defaults: {{temperature: 0.2}}
                max_output_tokens: 1000
                limits: {_LIMITS}
                price: {{input_per_million: 0.15, output_per_million: 0.6}}
            """,
        "teams/bench.yaml": f"""\
            team: bench
            limits: {_LIMITS}
            projects:
              bench:
                allowed_models: [bench]
                limits: {_LIMITS}
                keys:
                  - {{id: bench-1, sha256: {sha256_hex(key)}, limits: {_LIMITS}}}
            """,
    }
