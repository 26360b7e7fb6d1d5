"""Credentials as Envoy reads them. These files name a secret's place; they never hold one."""

from __future__ import annotations

from pathlib import Path

from envoy_data_plane.envoy.config.core.v3 import DataSource, WatchedDirectory
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import GenericSecret, Secret

from tollhouse.policy.compiled import Provider
from tollhouse.policy.secret import Secret as SecretPlace
from tollhouse.rendering import messages
from tollhouse.rendering.settings import TlsFiles

TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def provider_secret(provider: Provider, key_file: Path | None) -> Secret:
    """The provider's key: where the policy says, or in the simulator's key file."""
    place = SecretPlace("file", str(key_file)) if key_file else provider.secret
    return Secret(name=provider.name, generic_secret=GenericSecret(secret=_source(place)))


def _source(place: SecretPlace) -> DataSource:
    if place.kind == "env":
        return DataSource(environment_variable=place.location)
    # Watching the folder is what makes a renewed file take effect without a restart.
    folder = str(Path(place.location).parent)
    return DataSource(filename=place.location, watched_directory=WatchedDirectory(path=folder))


def listener_certificate(files: TlsFiles) -> Secret:
    return Secret(name="listener", tls_certificate=messages.certificate_secret(files))
