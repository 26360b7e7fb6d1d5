"""Puts a rendered configuration into a directory, each file by rename, as Envoy's watches need."""

from __future__ import annotations

import json
import os
from pathlib import Path
from string import Template

from betterproto2 import Message

from tollhouse.paths import ENVOY_DIR
from tollhouse.policy.compiled import Provider, Snapshot
from tollhouse.policy.secret import Secret as SecretPlace
from tollhouse.rendering import clusters, management, messages, ordered, routes, secrets
from tollhouse.rendering.settings import Address, EnvoySettings, RenderError

# No provider's name begins so.
_LISTENER_FILE = "secrets/_listener.json"
# Room beside a body of the largest size: the rewritten copy is a little longer.
BUFFER_SLACK_BYTES = 1 << 20


def render(
    snapshot: Snapshot, settings: EnvoySettings, out: Path, *, seen_as: Path | None = None
) -> list[Path]:
    """Writes everything Envoy needs into `out`; returns the files that changed.

    `seen_as` is the path of that directory where Envoy runs, if it is another (a container's
    volume). Called again after a policy reload, it replaces only what differs: an unchanged file
    makes Envoy do nothing. Routes and clusters carry the policy's version, so each new policy
    replaces these two; Envoy leaves alone the clusters and routes that are as they were.

    Raises RenderError when the settings would expose keys.
    """
    settings.check()
    out = out.resolve()
    directory = seen_as.absolute() if seen_as else out
    for path in (directory, settings.access_log):
        _check_path(path)
    providers = sorted(snapshot.providers.values(), key=lambda provider: provider.name)
    wanted = {
        "envoy.yaml": _bootstrap(snapshot, settings, directory),
        **_lua(),
        **_secrets(providers, settings),
        "cds.json": _discovery(
            [*_clusters(providers, settings, directory), *_management(snapshot, settings)],
            snapshot.version,
        ),
        "ecds.json": _discovery([management.sign_on_filter(snapshot.management)]),
        "rds.json": _route_discovery(snapshot, providers, settings),
    }
    # In this order, so that a cluster finds its credential, and a route its cluster.
    changed = [out / name for name, text in wanted.items() if replace_file(out / name, text)]
    for path in (out / "secrets").glob("*.json"):
        # A provider that has left. What we did not write is not ours to remove.
        if f"secrets/{path.name}" not in wanted and secrets.TYPE in path.read_text():
            path.unlink()
    return changed


def _check_path(path: Path) -> None:
    # It is written between quotes into YAML, and as a pattern into Lua's package.path.
    if set(str(path)) & set('"\\;?') or not str(path).isprintable():
        raise RenderError(
            f"the path {str(path)!r} cannot stand in Envoy's files: choose one without quotes, "
            "backslashes, semicolons, question marks and control characters."
        )


def replace_file(path: Path, text: str) -> bool:
    """Writes by rename, so that no reader sees half a file; False when it already says this."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.replace(path)
    return True


def _discovery(resources: list[Message], version: str | None = None) -> str:
    return json.dumps(messages.discovery_response(resources, version), indent=2) + "\n"


def _lua() -> dict[str, str]:
    sources = sorted((ENVOY_DIR / "lua").glob("*.lua"))
    return {f"lua/{source.name}": source.read_text() for source in sources}


def _secrets(providers: list[Provider], settings: EnvoySettings) -> dict[str, str]:
    files = {}
    for provider in providers:
        _, key_file = settings.simulated.get(provider.name, (None, None))
        if place := SecretPlace("file", str(key_file)) if key_file else provider.secret:
            secret = secrets.provider_secret(provider.name, place)
            files[f"secrets/{provider.name}.json"] = _discovery([secret])
        if provider.ca_file:
            ca = clusters.ca_name(provider.name)
            trusted = secrets.certificate_authority(ca, provider.ca_file)
            files[f"secrets/{ca}.json"] = _discovery([trusted])
    if settings.tls:
        certificate = secrets.listener_certificate(settings.tls)
        files[_LISTENER_FILE] = _discovery([certificate])
    return files


def _clusters(providers: list[Provider], settings: EnvoySettings, directory: Path) -> list[Message]:
    rendered: list[Message] = []
    for provider in providers:
        base_url, _ = settings.simulated.get(provider.name, (provider.base_url, None))
        rendered += clusters.provider_clusters(provider, base_url, directory)
    return rendered


def _is_managed(snapshot: Snapshot, settings: EnvoySettings) -> bool:
    return snapshot.management is not None and settings.console is not None


def _management(snapshot: Snapshot, settings: EnvoySettings) -> list[Message]:
    if snapshot.management is None or settings.console is None:
        return []
    sign_on = snapshot.management.sign_on
    jwks = management.jwks_cluster(sign_on, clusters.SYSTEM_CA) if sign_on else None
    console = management.console_cluster(settings.console, settings.services_tls)
    return [console, *([jwks] if jwks else [])]


def _route_discovery(snapshot: Snapshot, providers: list[Provider], settings: EnvoySettings) -> str:
    manage = _is_managed(snapshot, settings)
    known = routes.route_configuration(providers, snapshot.org, manage=manage)
    discovered = messages.discovery_response([known], snapshot.version)
    [host] = discovered["resources"][0]["virtual_hosts"]
    # Before the catch-all.
    host["routes"][-1:-1] = ordered.routes(snapshot, routes.timeout_seconds(snapshot.org))
    return json.dumps(discovered, indent=2) + "\n"


def _bootstrap(snapshot: Snapshot, settings: EnvoySettings, directory: Path) -> str:
    template = Template((ENVOY_DIR / "envoy.yaml").read_text())
    slowest = max((p.idle_timeout_seconds for p in snapshot.providers.values()), default=600.0)
    values = {
        "DIR": str(directory),
        "ACCESS_LOG": str(settings.access_log),
        "ADMIN_ADDRESS": _json(messages.address(settings.admin)),
        "LISTEN_ADDRESS": _json(messages.address(settings.listen)),
        "LISTENER_TLS": _listener_tls(settings, directory),
        "MAX_REQUEST_BYTES": str(snapshot.org.max_request_bytes),
        "BUFFER_BYTES": str(snapshot.org.max_request_bytes + BUFFER_SLACK_BYTES),
        "IDLE_TIMEOUT": f"{slowest:g}s",
        **_service("AUTHZ", "authz_service", settings.authz, settings),
        **_service("RATELIMIT", "ratelimit_service", settings.ratelimit, settings),
    }
    return template.substitute(values)


def _json(message: Message) -> str:
    return messages.compact(messages.to_json(message))


def _listener_tls(settings: EnvoySettings, directory: Path) -> str:
    if settings.tls is None:
        return "null"
    source = messages.sds("listener", directory / _LISTENER_FILE)
    return _json(messages.listener_tls(source))


def _service(prefix: str, name: str, where: Address, settings: EnvoySettings) -> dict[str, str]:
    tls = settings.services_tls
    socket = messages.services_tls(tls, where.host) if tls and not where.is_unix else None
    return {
        f"{prefix}_DISCOVERY": "STRICT_DNS" if where.is_name else "STATIC",
        f"{prefix}_ENDPOINT": _json(messages.load_assignment(name, where)),
        f"{prefix}_TLS": _json(socket) if socket else "null",
    }
