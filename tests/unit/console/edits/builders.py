"""A policy, who manages it, and the use cases over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from console.actors import Actor
from console.edits.editor import Planned, PolicyEditor
from console.edits.keys import Keys
from console.edits.models import Models
from console.edits.projects import Projects
from console.edits.reader import PolicyReader
from console.edits.teams import Teams
from console.edits.tokens import Tokens

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
ADMIN = Actor("root", "admin", None, "token")
PLATFORM = Actor("ann@example.com", "platform", None, "sso")
LEAD = Actor("lee@example.com", "team-lead", frozenset({"web"}), "sso")
VIEWER = Actor("vic@example.com", "viewer", frozenset({"web"}), "sso")

ORG = """\
org: acme
limits: {monthly_spend_usd: 1000}
environments:
  prod: {}
  staging:
    denied_models: [large]
    limits: {monthly_spend_usd: 50}
"""
MODELS = """\
models:
  small:
    provider: openai
    model: gpt-4o-mini
    tags: [cheap]
    price: {input_per_million: 0.15, output_per_million: 0.6}
  large:
    provider: openai
    model: gpt-4o
    price: {input_per_million: 2.5, output_per_million: 10}
  "meta/llama:3":
    provider: openai
    model: llama
    price: {input_per_million: 1, output_per_million: 1}
groups:
  chat: [small, large]
"""
WEB = f"""\
# The web team.
team: web
owner: web-leads@example.com
limits: {{monthly_spend_usd: 500}}   # agreed with finance

projects:
  site:
    allowed_models: [small, large]   # not llama
    limits: {{requests_per_minute: 100}}
    keys:
      # The first one.
      - id: web-1
        sha256: {"a1" * 32}
        env: prod
        metadata: {{owner: ann}}   # who to ask
      - id: web-2
        sha256: {"a2" * 32}
        env: staging
"""
OPS = f"""\
team: ops
projects:
  jobs:
    keys:
      - id: ops-1
        sha256: {"a3" * 32}
        env: prod
        allowed_models: [small]
"""
MANAGEMENT = f"""\
tokens:
  - id: root
    sha256: {"aa" * 32}
    role: admin
  - id: web-lead   # leaves in May
    sha256: {"ab" * 32}
    role: team-lead
    teams: [web]
"""


@dataclass
class Managed:
    """The directory, the use cases, and what was told to be written."""

    directory: Path
    planned: list[Planned] = field(default_factory=list)

    def __post_init__(self) -> None:
        editor = PolicyEditor(self.directory, before_write=self.planned.append)
        reader = PolicyReader(self.directory)

        def clock() -> datetime:
            return NOW

        self.editor, self.reader = editor, reader
        self.keys, self.tokens = Keys(reader, editor, clock), Tokens(reader, editor, clock)
        self.teams, self.projects = Teams(reader, editor), Projects(reader, editor)
        self.models = Models(reader, editor)

    def text(self, name: str) -> str:
        """Of a file, byte for byte."""
        return (self.directory / name).read_bytes().decode()
