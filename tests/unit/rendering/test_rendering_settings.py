"""Addresses are taken as plainly as Envoy takes them; what would expose keys is refused."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tollhouse.rendering import Address, EnvoySettings, RenderError, ServicesTls, TlsFiles

UNIX = Address(path="/run/a.sock")
TLS = TlsFiles(Path("/certs/tls.crt"), Path("/certs/tls.key"))
MUTUAL = ServicesTls(Path("/certs/ca.crt"), TLS)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/authz.sock", Address(path="/run/authz.sock")),
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:0", Address("::1", 0)),
        ("authz_1.internal-net:65535", Address("authz_1.internal-net", 65535)),
    ],
)
def test_an_address_is_a_socket_or_a_host_and_a_port(text: str, address: Address) -> None:
    assert Address.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        *("", "unix:", "unix:authz.sock", "8080", ":8080", "localhost", "localhost:"),
        *("localhost:http", "localhost:-1", "localhost:65536", "localhost:²", "localhost:٣"),
        *("::1:8080", "[::1]", "[]:8080", "[localhost]:8080", "[::1:8080", "::1]:8080", "[:]:80"),
        *("http://localhost:80", "a b:80", 'a":80', "localhost:80\n"),
    ],
)
def test_what_is_no_address_is_said_with_what_one_looks_like(text: str) -> None:
    with pytest.raises(RenderError) as refused:
        Address.parse(text)
    expected = f"'{text}' is not an address: write host:port or unix:/path"
    assert str(refused.value) == expected


@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_ip_address_with_a_port_is_an_address(ip: Any, port: int) -> None:
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    address = Address.parse(f"{host}:{port}")
    assert (address.host, address.port, address.path) == (str(ip), port, "")
    assert (address.is_name, address.is_loopback) == (False, ip.is_loopback)


@given(st.text() | st.from_regex(r"\A(unix:)?[\[\]:a-z0-9.%/²-]{0,20}\Z"))
@example("[::1%a]:80")
def test_text_is_an_address_or_refused_and_never_changed(text: str) -> None:
    with contextlib.suppress(RenderError):
        address = Address.parse(text)
        host, _, port = text.rpartition(":")
        spelled = (address.host, address.port) if not address.is_unix else address.path
        assert spelled in {(host.strip("[]"), int(port) if port.isdigit() else -1), text[5:]}


@pytest.mark.parametrize(
    ("address", "is_loopback", "is_name"),
    [
        (UNIX, True, False),
        (Address("127.9.9.9", 1), True, False),
        (Address("::1", 1), True, False),
        (Address("localhost", 1), True, True),
        (Address("0.0.0.0", 1), False, False),
        (Address("10.0.0.1", 1), False, False),
        (Address("::", 1), False, False),
        # What these mean is up to somebody's DNS.
        (Address("localhost.example", 1), False, True),
        (Address("127.1", 1), False, True),
    ],
)
def test_loopback_is_what_never_leaves_the_host(
    address: Address, is_loopback: bool, is_name: bool
) -> None:
    assert (address.is_loopback, address.is_name) == (is_loopback, is_name)


def settings(**changed: Any) -> EnvoySettings:
    return EnvoySettings(
        **{"authz": UNIX, "ratelimit": UNIX, "access_log": Path("/dev/null"), **changed}
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"listen": Address("0.0.0.0", 8080)},
            "plain HTTP is for loopback only, and 0.0.0.0 is not: keys and prompts would cross the"
            " network in the clear. Give a certificate (--tls-cert, --tls-key).",
        ),
        (
            {"admin": Address("10.0.0.1", 9901), "tls": TLS, "services_tls": MUTUAL},
            "Envoy's admin endpoint has no access control: 10.0.0.1 is not loopback.",
        ),
        (
            {"authz": Address("authz", 9000), "tls": TLS},
            "the authz service at authz is not on this host: use a unix socket, or mutual TLS"
            " (--services-ca, --services-cert, --services-key).",
        ),
        (
            {"ratelimit": Address("10.0.0.2", 9000)},
            "the ratelimit service at 10.0.0.2 is not on this host: use a unix socket, or mutual"
            " TLS (--services-ca, --services-cert, --services-key).",
        ),
        (
            {"listen": Address("localhost", 8080)},
            "Envoy listens on IP addresses, not on names: --listen 127.0.0.1:8080 instead of"
            " localhost:8080, for example.",
        ),
        (
            {"admin": Address("localhost", 9901)},
            "Envoy listens on IP addresses, not on names: --admin 127.0.0.1:9901 instead of"
            " localhost:9901, for example.",
        ),
    ],
)
def test_what_would_expose_keys_is_refused_with_the_way_out(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(RenderError) as refused:
        settings(**changed).check()
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"listen": Address("0.0.0.0", 8443), "tls": TLS},
        {"listen": UNIX, "admin": UNIX},
        {"authz": Address("authz", 1), "ratelimit": Address("10.0.0.2", 1), "services_tls": MUTUAL},
        {"authz": Address("127.0.0.1", 1), "ratelimit": Address("localhost", 1)},
    ],
)
def test_what_stays_on_the_host_or_is_encrypted_is_taken(changed: dict[str, Any]) -> None:
    settings(**changed).check()
