"""Which providers the simulator stands in for: those whose secret is not there."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from tollhouse.policy.compiled import Provider


def without_secret(
    providers: Iterable[Provider], environ: Mapping[str, str] = os.environ
) -> list[Provider]:
    """The providers whose secret is not set, by name. Only its presence is looked at."""
    missing = [provider for provider in providers if not _is_set(provider, environ)]
    return sorted(missing, key=lambda provider: provider.name)


def _is_set(provider: Provider, environ: Mapping[str, str]) -> bool:
    if provider.secret.kind == "env":
        return bool(environ.get(provider.secret.location))
    return Path(provider.secret.location).is_file()


def new_key(path: Path) -> None:
    """Writes the credential that the simulator will ask for, readable by its owner only."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("sim-" + secrets.token_urlsafe(24))


def stand_ins(
    providers: Iterable[Provider], simulator_url: str | None, key_file: Path
) -> dict[str, tuple[str, Path]]:
    """For rendering: provider name to (base URL, key file); empty without a simulator."""
    if simulator_url is None:
        return {}
    missing = without_secret(providers)
    return {provider.name: (f"{simulator_url}/v1", key_file) for provider in missing}
