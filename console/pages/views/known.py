"""Links to what is there: logs and the ledger name what the policy holds no more. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from console.pages.views import links
from tollhouse.policy.compiled import Snapshot


@dataclass(frozen=True, slots=True)
class Known:
    """Each method is None where the policy has no such thing: its name is to be shown as text."""

    snapshot: Snapshot

    def team(self, name: str) -> str | None:
        """A team's page."""
        return links.team(name) if name in self.snapshot.teams else None

    def project(self, team: str, name: str) -> str | None:
        """A project's page."""
        found = self.snapshot.teams.get(team)
        return links.project(team, name) if found and name in found.projects else None

    def key(self, key_id: str) -> str | None:
        """A key's page."""
        return links.key(key_id) if key_id in self.snapshot.keys else None

    def model(self, alias: str) -> str | None:
        """A model's page."""
        return links.model(alias) if alias in self.snapshot.aliases else None

    def target(self, target: str) -> str | None:
        """Of the audit log's KIND:NAME."""
        kind, _, name = target.partition(":")
        if kind == "project":
            return self.project(*name.partition("/")[::2])
        pages = {"key": self.key, "team": self.team, "model": self.model}
        return pages[kind](name) if kind in pages else None
