"""envoy/example is what `tollhouse render` writes today, and the real Envoy accepts all of it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support import certificates
from tollhouse.local import envoy
from tollhouse.local.processes import Children
from tollhouse.paths import ENVOY_DIR, EXAMPLE_POLICIES

ROOT = EXAMPLE_POLICIES.parent
EXAMPLE = ROOT / "envoy" / "example"
PROVIDERS = ("anthropic", "mistral", "openai")


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_example_is_current(tmp_path: Path) -> None:
    subprocess.run(
        ["make", "--silent", "example", f"EXAMPLE_DIR={tmp_path / 'example'}"],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert files(tmp_path / "example") == files(EXAMPLE), "run `make example` and commit the result"


def test_the_example_names_the_place_of_every_secret_and_holds_none() -> None:
    for name in PROVIDERS:
        [secret] = json.loads((EXAMPLE / f"secrets/{name}.json").read_text())["resources"]
        assert secret["generic_secret"] == {
            "secret": {"environment_variable": f"{name.upper()}_API_KEY"}
        }


def runnable(folder: Path) -> Path:
    """A copy of the example whose places exist on this machine."""
    copy = Path(shutil.copytree(EXAMPLE, folder / "envoy"))
    shutil.copytree(ENVOY_DIR / "lua", copy / "lua")
    certificates.issue(folder / "certs", trustme.CA(), "localhost")
    here = {
        "/etc/tollhouse/envoy": str(copy),
        '"/certs/': f'"{folder}/certs/',
        '"/certs"': f'"{folder}/certs"',
        "/var/log/tollhouse": str(folder),
        "/run/tollhouse": str(folder),
        '"port_value": 8443': '"port_value": 0',
        '"port_value": 9901': '"port_value": 0',
    }
    for path in (copy / "envoy.yaml", *copy.glob("*.json"), *copy.glob("secrets/*.json")):
        text = path.read_text()
        for there, local in here.items():
            text = text.replace(there, local)
        path.write_text(text)
    return copy


@contextlib.asynccontextmanager
async def envoy_on(folder: Path) -> AsyncIterator[envoy.Admin]:
    children = Children(folder / "logs")
    address = folder / "admin-address"
    secrets = {f"{name.upper()}_API_KEY": "sk-of-the-test" for name in PROVIDERS}
    try:
        child = await children.start(
            "envoy",
            envoy.command(folder / "envoy.yaml", address, 1),
            env={**os.environ, **secrets},
        )
        yield await envoy.Admin.wait(child, address)
    finally:
        await children.stop()


async def updates(admin: envoy.Admin, outcome: str) -> dict[str, Any]:
    """How often each dynamic file was accepted or refused, by the name of its service."""
    found = await admin.stats(f"(cds|rds.*|sds.*).update_{outcome}$")
    return {name.removesuffix(f".update_{outcome}"): count for name, count in found.items()}


async def test_envoy_accepts_every_file_of_the_example(tmp_path: Path) -> None:
    async with envoy_on(runnable(tmp_path)) as admin:
        accepted, refused = await updates(admin, "success"), await updates(admin, "rejected")
    secrets = {f"sds.{name}" for name in (*PROVIDERS, "listener")}
    assert set(accepted) == {"cluster_manager.cds", "http.tollhouse.rds.tollhouse", *secrets}
    assert set(accepted.values()) == {1}
    assert refused == dict.fromkeys(accepted, 0)


TYPOS = {
    "cds.json": ('"connect_timeout"', '"conect_timeout"', "cluster_manager.cds"),
    "rds.json": ('"idle_timeout"', '"idle_timout"', "http.tollhouse.rds.tollhouse"),
    "secrets/openai.json": ('"environment_variable"', '"environment_varable"', "sds.openai"),
}


@pytest.mark.parametrize("name", TYPOS)
async def test_a_typo_in_a_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = runnable(tmp_path)
    right, wrong, service = TYPOS[name]
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace(right, wrong, 1))
    async with envoy_on(folder) as admin:
        refused = await updates(admin, "rejected")
    assert refused[service] == 1
