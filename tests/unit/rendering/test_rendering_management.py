"""The way to the console: there only where it is wanted, and its JWTs verified by Envoy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.policy import write_tree
from tests.unit.rendering.test_rendering_files import settings
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rendering import Address, RenderError, ServicesTls, TlsFiles, render

CONSOLE = Address(path="/run/console.sock")
SSO = """\
sso:
  issuer: https://login.acme.test/
  audiences: [tollhouse]
  jwks: https://login.acme.test/keys
  roles: [{claim: groups, value: leads, role: viewer}]
"""
FILTERS_OFF = {"envoy.filters.http.ext_authz", "envoy.filters.http.ratelimit"}


def rendered(tmp_path: Path, management: str | None, **changed: Any) -> dict[str, Any]:
    tree = write_tree(tmp_path / "policies", management=management)
    out = tmp_path / "out"
    render(load_snapshot(tree), settings(**{"console": CONSOLE, **changed}), out)
    return {
        path.name: json.loads(path.read_text())["resources"] for path in out.glob("[cer]*ds.json")
    }


def routes(files: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = files["rds.json"][0]["virtual_hosts"][0]["routes"]
    return found


@pytest.mark.parametrize(
    ("management", "console"), [(None, CONSOLE), ("tokens: []\n", None), (None, None)]
)
def test_without_a_management_policy_or_a_console_there_is_no_way_to_it(
    management: str | None, console: Address | None, tmp_path: Path
) -> None:
    files = rendered(tmp_path, management, console=console)
    assert "manage" not in [route["name"] for route in routes(files)]
    names = [each["name"] for each in files["cds.json"]]
    assert names == ["provider.openai", "provider.openai.pool"]


def test_the_way_to_the_console_comes_first_and_asks_neither_for_a_key_nor_for_limits(
    tmp_path: Path,
) -> None:
    first, *others = routes(rendered(tmp_path, "tokens: []\n"))
    assert first["match"] == {"path_separated_prefix": "/manage"}
    off = first["typed_per_filter_config"]
    assert set(off) == FILTERS_OFF
    assert all(each["disabled"] for each in off.values())
    assert not any("typed_per_filter_config" in route for route in others)


def test_without_single_sign_on_the_filter_does_nothing(tmp_path: Path) -> None:
    [extension] = rendered(tmp_path, "tokens: []\n")["ecds.json"]
    assert list(extension["typed_config"]) == ["@type"]


def test_single_sign_on_verifies_tokens_of_management_alone(tmp_path: Path) -> None:
    files = rendered(tmp_path, SSO)
    config = files["ecds.json"][0]["typed_config"]
    provider = config["providers"]["company"]
    assert (provider["issuer"], provider["audiences"]) == (
        "https://login.acme.test/",
        ["tollhouse"],
    )
    assert provider["require_expiration"]
    assert [rule["match"] for rule in config["rules"]] == [{"path_separated_prefix": "/manage"}]
    jwks = next(each for each in files["cds.json"] if each["name"] == "jwks")
    tls = jwks["transport_socket"]["typed_config"]
    assert tls["sni"] == "login.acme.test"


def test_keys_in_a_file_need_no_cluster(tmp_path: Path) -> None:
    sso = SSO.replace("https://login.acme.test/keys", "file:/etc/jwks/keys.json")
    files = rendered(tmp_path, sso)
    local = files["ecds.json"][0]["typed_config"]["providers"]["company"]["local_jwks"]
    assert local == {
        "filename": "/etc/jwks/keys.json",
        "watched_directory": {"path": "/etc/jwks"},
    }
    assert "jwks" not in [each["name"] for each in files["cds.json"]]


def test_a_console_on_another_host_needs_mutual_tls(tmp_path: Path) -> None:
    there = Address("console.acme.test", 8444)
    with pytest.raises(RenderError, match="the console service at"):
        rendered(tmp_path, "tokens: []\n", console=there)
    tls = ServicesTls(Path("/ca.pem"), TlsFiles(Path("/c.pem"), Path("/k.pem")))
    files = rendered(tmp_path, "tokens: []\n", console=there, services_tls=tls)
    console = next(each for each in files["cds.json"] if each["name"] == "console")
    common = console["transport_socket"]["typed_config"]["common_tls_context"]
    assert common["alpn_protocols"] == ["http/1.1"]
    assert common["tls_certificates"][0]["private_key"] == {"filename": "/k.pem"}
