"""TLS at the endpoint, and the refusal to go without it off loopback."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
import trustme

from tests.support import certificates, e2e_policy
from tests.support.gateway import Gateway, running, test_key, wait_for

CHAT = "/v1/chat/completions"


class Secured:
    """A gateway with a certificate, and its CA."""

    def __init__(self, gateway: Gateway, ca: trustme.CA, folder: Path) -> None:
        self.gateway = gateway
        self.ca = ca
        self.folder = folder
        port = gateway.endpoint.rpartition(":")[2]
        self.url = f"https://localhost:{port}"

    def client(self, *, http2: bool = False) -> httpx.Client:
        context = certificates.trusting(self.ca)
        return httpx.Client(base_url=self.url, verify=context, http2=http2, trust_env=False)

    def serial(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        context = certificates.trusting(self.ca)
        port = int(self.url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as link,
            context.wrap_socket(link, server_hostname="localhost") as secured,
        ):
            shown = secured.getpeercert()
        assert shown is not None
        return int(str(shown["serialNumber"]), 16)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    root, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    files = certificates.issue(root / "certs", ca, "localhost", "127.0.0.1")
    options = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
    with running(e2e_policy.write(root / "policies"), root / "run", *options) as gateway:
        yield Secured(gateway, ca, root / "certs")


def headers() -> dict[str, str]:
    return {"authorization": f"Bearer {test_key('app')}", "content-type": "application/json"}


BODY = {"model": "chat", "messages": [{"role": "user", "content": "Say hello"}]}


@pytest.mark.parametrize(("http2", "protocol"), [(False, "HTTP/1.1"), (True, "HTTP/2")])
def test_both_versions_of_http_are_served_under_tls(
    secured: Secured, http2: bool, protocol: str
) -> None:
    with secured.client(http2=http2) as client:
        answer = client.post(CHAT, json=BODY, headers=headers())
        with client.stream(
            "POST", CHAT, json={**BODY, "stream": True}, headers=headers()
        ) as events:
            lines = [line for line in events.iter_lines() if line]
    assert (answer.status_code, answer.http_version) == (200, protocol)
    assert lines[-1] == "data: [DONE]"
    assert secured.gateway.log_line(answer.headers["x-request-id"])["protocol"] == protocol


def test_the_sdk_verifies_the_certificate_and_works(secured: Secured) -> None:
    verifying = openai.DefaultHttpxClient(verify=certificates.trusting(secured.ca))
    with openai.OpenAI(
        base_url=f"{secured.url}/v1", api_key=test_key("app"), http_client=verifying
    ) as client:
        assert "chat" in [model.id for model in client.models.list()]


def test_plain_http_gets_nothing_on_the_tls_port(secured: Secured) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(secured.url.replace("https", "http") + "/v1/models", trust_env=False)


def test_what_is_older_than_tls_1_2_is_refused(secured: Secured) -> None:
    context = certificates.trusting(secured.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(f"{secured.url}/healthz").status_code == 200
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with httpx.Client(verify=context, trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(f"{secured.url}/healthz")


def test_a_renewed_certificate_is_shown_without_a_restart_and_cuts_no_stream(
    secured: Secured,
) -> None:
    before, envoy = secured.serial(), secured.gateway.pid_of("envoy")
    slow = {**headers(), "x-simulate": "completion_tokens=40,token_delay_ms=50"}
    body = {**BODY, "stream": True}
    with secured.client() as client, client.stream("POST", CHAT, json=body, headers=slow) as events:
        lines = events.iter_lines()
        assert next(lines).startswith("data: ")
        certificates.issue(secured.folder, secured.ca, "localhost", "127.0.0.1")
        wait_for(lambda: secured.serial() != before, "the renewed certificate")
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert secured.gateway.pid_of("envoy") == envoy


# Without TLS


def render(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    policies = e2e_policy.write(tmp_path / "policies")
    command = [sys.executable, "-m", "tollhouse", "render", "--policies", str(policies)]
    return subprocess.run(
        [*command, "--out", str(tmp_path / "out"), *options],
        capture_output=True,
        text=True,
        check=False,
    )


REFUSED = {
    "the endpoint": (
        ("--listen", "0.0.0.0:8080"),
        "plain HTTP is for loopback only, and 0.0.0.0 is not",
    ),
    "the admin endpoint": (("--admin", "0.0.0.0:9901"), "0.0.0.0 is not loopback"),
    "authz_service": (("--authz", "authz.test:50051"), "the authz service at authz.test"),
    "ratelimit_service": (("--ratelimit", "10.0.0.7:50051"), "the ratelimit service at 10.0.0.7"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_nothing_is_rendered_that_would_cross_a_network_in_the_clear(
    tmp_path: Path, what: str
) -> None:
    options, message = REFUSED[what]
    rendered = render(tmp_path, *options)
    assert rendered.returncode == 1
    assert message in rendered.stderr
    assert not (tmp_path / "out").exists()


def test_on_loopback_it_is_rendered(tmp_path: Path) -> None:
    assert render(tmp_path, "--listen", "127.0.0.1:0").returncode == 0
    assert (tmp_path / "out/envoy.yaml").exists()
