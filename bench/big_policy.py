"""A large policy tree: many teams with many keys, with projects, environments and limits."""

from __future__ import annotations

from pathlib import Path

from tollhouse import keys

_ORG = """\
org: bench
time_zone: Europe/Berlin
owner: platform@example.com
limits: {requests_per_minute: 100000000, monthly_spend_usd: 4000000}
environments:
  prod: {}
  staging: {denied_models: ["tag:dear"]}
  dev: {limits: {requests_per_minute: 1000000}}
"""
_PROVIDERS = """\
providers:
  upstream: {dialect: openai, base_url: "https://llm.example.com/v1", api_key: "${BENCH_API_KEY}"}
"""
_MODELS = 20
_PROJECTS = 4
_ENVIRONMENTS = ("prod", "staging", "dev")


def write(directory: Path, teams: int, keys_per_team: int) -> Path:
    """The tree in `directory`, which is returned; the same bytes every time."""
    (directory / "teams").mkdir(parents=True)
    files = {"org.yaml": _ORG, "providers.yaml": _PROVIDERS, "models.yaml": _models()}
    for name, text in files.items():
        (directory / name).write_text(text)
    for number in range(teams):
        team_file(directory, number).write_text(_team(number, keys_per_team))
    return directory


def team_file(directory: Path, number: int) -> Path:
    """Where a team is written."""
    return directory / "teams" / f"team-{number:04}.yaml"


def secret(team: int, number: int) -> str:
    """A key of a team, as its caller sends it."""
    return keys.with_checksum(f"bench{team:013}x{number:013}")


def alias(number: int) -> str:
    """The name of a model."""
    return f"model-{number % _MODELS}"


def _models() -> str:
    lines = ["models:"]
    for number in range(_MODELS):
        tag = "dear" if number % 5 == 0 else "cheap"
        price = "{input_per_million: 0.15, output_per_million: 0.6}"
        lines.append(
            f"  {alias(number)}: {{provider: upstream, model: m-{number}, tags: [{tag}],"
            f" max_output_tokens: 1000, price: {price}}}"
        )
    return "\n".join([*lines, "groups:", '  usual: ["tag:cheap", model-0]', ""])


def _team(team: int, count: int) -> str:
    lines = [
        f"team: team-{team:04}",
        f"owner: leads-{team:04}@example.com",
        "limits: {requests_per_minute: 100000, monthly_spend_usd: 10000}",
        'allowed_models: ["*"]',
        "denied_models: [model-19]",
        "environments: {staging: {limits: {requests_per_minute: 1000}}}",
        "projects:",
    ]
    for project in range(_PROJECTS):
        lines += [
            f"  project-{project}:",
            '    allowed_models: ["group:usual"]',
            "    limits: {tokens_per_minute: 10000000, daily_spend_usd: 500}",
            "    keys:",
        ]
        for number in range(project, count, _PROJECTS):
            lines += _key(team, number)
    return "\n".join([*lines, ""])


def _key(team: int, number: int) -> list[str]:
    lines = [
        f"      - id: team-{team:04}-{number:05}",
        f"        sha256: {keys.sha256_hex(secret(team, number))}",
        f"        env: {_ENVIRONMENTS[number % 3]}",
    ]
    if number % 2 == 0:
        lines.append("        limits: {requests_per_minute: 60, tokens_per_minute: 200000}")
    if number % 4 == 1:
        lines.append("        metadata: {owner: someone@example.com, cost_center: 4711}")
    if number % 10 == 3:
        lines.append('        allowed_models: [model-1, "model-1*"]')
    if number % 25 == 7:
        lines.append("        expires: 2035-12-31")
    return lines
