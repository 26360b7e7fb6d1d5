"""What the operator chooses about the Envoy itself, apart from the policy."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

_TCP = re.compile(
    r"(\[(?P<ipv6>[^\[\]]*:[^\[\]]*)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})"
)


class RenderError(Exception):
    """The Envoy configuration asked for cannot be written; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address (`host:port`) or a unix socket (`unix:/path`)."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """`unix:/run/authz.sock`, `127.0.0.1:8080`, `[::1]:8080`. Raises RenderError."""
        if text.startswith("unix:/"):
            return cls(path=text.removeprefix("unix:"))
        found = _TCP.fullmatch(text)
        if not found or int(found["port"]) > 65535 or (found["ipv6"] and not _ip(found["ipv6"])):
            raise RenderError(f"'{text}' is not an address: write host:port or unix:/path")
        return cls(host=found["ipv6"] or found["host"], port=int(found["port"]))

    @property
    def is_unix(self) -> bool:
        return bool(self.path)

    @property
    def is_loopback(self) -> bool:
        if self.is_unix or self.host == "localhost":
            return True
        ip = _ip(self.host)
        return ip is not None and ip.is_loopback

    @property
    def is_name(self) -> bool:
        """A host name, to be looked up in DNS, rather than an IP address or a socket path."""
        return not self.is_unix and _ip(self.host) is None


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A certificate chain and its private key, PEM. Renew by renaming new files into place."""

    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ServicesTls:
    """Mutual TLS to services on other hosts: Envoy's certificate, and the CA of theirs."""

    ca: Path
    client: TlsFiles


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """Where Envoy listens, where the services are, where the audit log goes.

    `console` is where the management console is, None where there is none.
    `simulated` maps a provider's name to the (base URL, key file) that stand in for it.
    """

    authz: Address
    ratelimit: Address
    access_log: Path
    listen: Address = field(default_factory=lambda: Address("127.0.0.1", 8080))
    admin: Address = field(default_factory=lambda: Address("127.0.0.1", 9901))
    tls: TlsFiles | None = None
    services_tls: ServicesTls | None = None
    console: Address | None = None
    simulated: dict[str, tuple[str, Path]] = field(default_factory=dict)

    def check(self) -> None:
        """Raises RenderError for what Envoy cannot listen on, and where keys or prompts would
        cross a network in the clear."""
        for option, address in (("--listen", self.listen), ("--admin", self.admin)):
            if address.is_name:
                raise RenderError(
                    f"Envoy listens on IP addresses, not on names: {option} 127.0.0.1:"
                    f"{address.port} instead of {address.host}:{address.port}, for example."
                )
        if self.tls is None and not self.listen.is_loopback:
            raise RenderError(
                f"plain HTTP is for loopback only, and {self.listen.host} is not: keys and prompts "
                "would cross the network in the clear. Give a certificate (--tls-cert, --tls-key)."
            )
        if not self.admin.is_loopback:
            raise RenderError(
                f"Envoy's admin endpoint has no access control: {self.admin.host} is not loopback."
            )
        services = {"authz": self.authz, "ratelimit": self.ratelimit}
        if self.console:
            services["console"] = self.console
        for name, address in services.items():
            if self.services_tls is None and not address.is_loopback:
                raise RenderError(
                    f"the {name} service at {address.host} is not on this host: use a unix socket, "
                    "or mutual TLS (--services-ca, --services-cert, --services-key)."
                )
