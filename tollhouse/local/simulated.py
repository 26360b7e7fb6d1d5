"""Whom the simulator stands in for: providers whose secret is not there, and those asked for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tollhouse.policy.compiled import Provider
from tollhouse.policy.problems import suggestion
from tollhouse.simulator.quirks import QUIRKS
from tollhouse.simulator.settings import DEFAULT_PROVIDER

ALL = "all"
"""In place of a name: every provider."""


class UnknownProvider(Exception):
    """It is to be simulated, and the policy has none of that name; the message says so."""


def chosen(
    providers: Mapping[str, Provider],
    asked: Collection[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> list[Provider]:
    """Those asked for by name, and those whose secret is named and not set; by name.

    Of a secret only its presence is looked at. Raises UnknownProvider.
    """
    for name in set(asked) - providers.keys() - {ALL}:
        near = suggestion(name, providers)
        raise UnknownProvider(f"--simulate {name}: the policy has no such provider{near}")
    played = (
        provider
        for name, provider in providers.items()
        if ALL in asked or name in asked or not _is_usable(provider, environ)
    )
    return sorted(played, key=lambda provider: provider.name)


def _is_usable(provider: Provider, environ: Mapping[str, str]) -> bool:
    """Whether it can be called: what asks for no secret can."""
    if provider.secret is None:
        return True
    if provider.secret.kind == "env":
        return bool(environ.get(provider.secret.location))
    return Path(provider.secret.location).is_file()


def new_key(path: Path) -> None:
    """Writes a credential that the simulator will ask for, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text("sim-" + secrets.token_urlsafe(24))


@dataclass(slots=True)
class StandIns:
    """The simulator's keys and addresses: for each provider that it plays from the start a path and
    a key of its own in `folder`; `default_key` for those that a later policy brings."""

    default_key: Path
    folder: Path
    _keys: dict[str, Path] = field(default_factory=dict)

    def begin(self, providers: Iterable[Provider]) -> list[str]:
        """Makes the keys, and returns the simulator's options."""
        new_key(self.default_key)
        played = [each for each in providers if each.name != DEFAULT_PROVIDER]
        self._keys = {each.name: self.folder / f"{each.name}.key" for each in played}
        for path in self._keys.values():
            new_key(path)
        own = (f"{each.name}={self._keys[each.name]},quirk={_quirk(each)}" for each in played)
        options = [option for text in own for option in ("--provider", text)]
        return ["--key-file", str(self.default_key), *options]

    def of(self, providers: Iterable[Provider], simulator_url: str) -> dict[str, tuple[str, Path]]:
        """For rendering: provider name to (base URL, key file)."""
        return {each.name: self._stand_in(each.name, simulator_url) for each in providers}

    def _stand_in(self, name: str, url: str) -> tuple[str, Path]:
        if name in self._keys:
            return f"{url}/{name}/v1", self._keys[name]
        return f"{url}/v1", self.default_key


def _quirk(provider: Provider) -> str:
    """How the simulator plays it: as whom it is named after, if that fits what it is asked."""
    if provider.dialect == "anthropic":
        return "anthropic"
    own = QUIRKS.get(provider.name)
    fits = own is not None and (not own.key_headers or provider.auth_header in own.key_headers)
    return provider.name if fits else DEFAULT_PROVIDER
