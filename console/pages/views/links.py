"""Where pages are. Pure."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

ROOT: Final = "/manage/ui"
SIGN_IN: Final = f"{ROOT}/sign-in"
SIGN_OUT: Final = f"{ROOT}/sign-out"


def team(name: str) -> str:
    """A team's page."""
    return f"{ROOT}/teams/{quote(name, safe='')}"


def project(team_name: str, name: str) -> str:
    """A project's page."""
    return f"{team(team_name)}/projects/{quote(name, safe='')}"


def key(key_id: str) -> str:
    """A key's page."""
    return f"{ROOT}/keys/{quote(key_id, safe='')}"


def model(alias: str) -> str:
    """A model's page; an alias may hold slashes."""
    return f"{ROOT}/models/{quote(alias)}"


def with_query(path: str, **fields: str | int | None) -> str:
    """The path with those fields that say something."""
    said = {name: value for name, value in fields.items() if value not in (None, "")}
    return f"{path}?{urlencode(said)}" if said else path


def safe_next(wanted: str | None) -> str:
    """Where to go after signing in: only to a page of the console, whatever was asked for."""
    if wanted is None or not wanted.isascii() or not wanted.isprintable() or "\\" in wanted:
        return ROOT
    path = wanted.partition("?")[0].partition("#")[0]
    inside = path == ROOT or path.startswith(f"{ROOT}/")
    # Browsers take %2e for a dot: https://url.spec.whatwg.org/#double-dot-path-segment
    climbs = "%2e" in path.lower() or any(part in (".", "..") for part in path.split("/"))
    return wanted if inside and not climbs else ROOT
