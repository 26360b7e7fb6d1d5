"""Small policy trees for tests."""

from pathlib import Path
from textwrap import dedent

from tollhouse import keys

KEY = keys.with_checksum("testKeyOfTheSmallestPolicyTree01")
KEY_ID = "web-1"
SHA256 = keys.sha256_hex(KEY)

TREE: dict[str, str] = {
    "org.yaml": """\
org: acme
""",
    "providers.yaml": """\
providers:
  openai:
    dialect: openai
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
""",
    "models.yaml": """\
models:
  small:
    provider: openai
    model: gpt-4o-mini
    tags: [cheap]
    price: {input_per_million: 0.15, output_per_million: 0.6}
""",
    "teams/web.yaml": f"""\
team: web
projects:
  site:
    allowed_models: [small]
    keys:
      - id: {KEY_ID}
        sha256: {SHA256}
""",
}
"""The smallest useful policy: one provider, the alias `small`, and `KEY`, which may call it."""


def write_tree(directory: Path, **overrides: str | None) -> Path:
    """Write `TREE` into `directory` and return it.

    An override replaces a file (`models="…"` is models.yaml, `teams__web="…"` is teams/web.yaml),
    adds one (`teams__ops="…"`), or leaves it out (None). Common indentation is removed.
    """
    replaced = {f"{name.replace('__', '/')}.yaml": text for name, text in overrides.items()}
    for name, text in {**TREE, **replaced}.items():
        if text is not None:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")
    return directory


def team(key_lines: str = "", *, project_lines: str = "", team_lines: str = "") -> str:
    """A team file with one project and one key, and more lines at each of the levels."""
    key = [f"id: {KEY_ID}", f"sha256: {SHA256}", *key_lines.splitlines()]
    project = ["allowed_models: [small]", *project_lines.splitlines()]
    return "\n".join(
        [
            "team: web",
            *team_lines.splitlines(),
            "projects:",
            "  site:",
            *(f"    {line}" for line in project),
            "    keys:",
            f"      - {key[0]}",
            *(f"        {line}" for line in key[1:]),
        ]
    )
