"""The image: what goes in, and who it runs as."""

from __future__ import annotations

import re
import tomllib

from tests.deploy import compose
from tests.deploy.compose import BUILD, DOCKERFILE, ROOT, RUNTIME


def _copied() -> list[str]:
    lines: list[str] = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_the_runtime_stage_takes_the_installed_environment_and_nothing_else() -> None:
    assert re.findall(r"^(?:COPY|ADD) (.+)$", RUNTIME, re.MULTILINE) == [
        "--from=build /opt/tollhouse /opt/tollhouse"
    ]


def test_the_install_has_the_console_and_keeps_to_the_tested_versions() -> None:
    [install] = re.findall(r"pip install (.+)$", BUILD, re.MULTILINE)
    assert install.split()[-3:] == ["-c", "constraints.txt", "'.[console]'"]


def test_policies_and_deployment_files_are_mounted_and_not_built_in() -> None:
    assert not {"policies", "deploy", "."} & set(_copied())


def test_all_that_the_build_copies_exists_and_reaches_the_builder() -> None:
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert set(_copied()) == allowed
    assert all((ROOT / source).exists() for source in _copied())


def test_the_build_has_all_that_the_wheel_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"]}
    assert needed <= set(_copied())


def test_the_image_runs_as_the_user_that_compose_names() -> None:
    [user] = re.findall(r"^USER (.+)$", RUNTIME, re.MULTILINE)
    assert {s["user"] for s in compose.services().values() if compose.is_ours(s)} == {user}


def test_the_folders_made_for_volumes_are_where_compose_mounts_them() -> None:
    made = re.findall(r"install -d -o (\d+) -g (\d+) -m 0750 (\S+)", RUNTIME)
    certs, envoy = compose.services()["certs"], compose.services()["envoy"]
    owners = {f"{uid}:{gid}": path for uid, gid, path in made}
    assert owners[certs["user"]] == compose.mounts(certs)["certs"][0]
    assert owners[envoy["user"]] == compose.mounts(envoy)["access-log"][0]
    # Envoy's own image has no such folder: a service of ours has to hand the volume over first.
    assert compose.mounts(certs)["access-log"][0] == owners[envoy["user"]]
