"""Credentials as Envoy reads them. These files name a secret's place; they never hold one."""

from __future__ import annotations

from pathlib import Path

from envoy_data_plane.envoy.config.core.v3 import DataSource, WatchedDirectory
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import (
    CertificateValidationContext,
    GenericSecret,
    Secret,
)

from tollhouse.policy.secret import Secret as SecretPlace
from tollhouse.rendering import messages
from tollhouse.rendering.settings import TlsFiles

TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"


def provider_secret(name: str, place: SecretPlace) -> Secret:
    """A provider's key, by where it is."""
    return Secret(name=name, generic_secret=GenericSecret(secret=_source(place)))


def certificate_authority(name: str, path: str) -> Secret:
    """A CA; it is read again when a file is renamed into its folder."""
    context = CertificateValidationContext(
        trusted_ca=DataSource(filename=path), watched_directory=_folder_of(path)
    )
    return Secret(name=name, validation_context=context)


def _source(place: SecretPlace) -> DataSource:
    if place.kind == "env":
        return DataSource(environment_variable=place.location)
    # Watching the folder is what makes a renewed file take effect without a restart.
    return DataSource(filename=place.location, watched_directory=_folder_of(place.location))


def _folder_of(path: str) -> WatchedDirectory:
    return WatchedDirectory(path=str(Path(path).parent))


def listener_certificate(files: TlsFiles) -> Secret:
    return Secret(name="listener", tls_certificate=messages.certificate_secret(files))
