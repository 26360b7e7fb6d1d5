"""envoy/example is what `tollhouse render` writes today, and the real Envoy accepts all of it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support import certificates
from tollhouse.local import envoy
from tollhouse.local.processes import Children
from tollhouse.paths import ENVOY_DIR, EXAMPLE_POLICIES
from tollhouse.policy.compiler import load_snapshot
from tollhouse.rendering import Address, EnvoySettings, render

ROOT = EXAMPLE_POLICIES.parent
EXAMPLE = ROOT / "envoy" / "example"
PROVIDERS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "anthropic_openai": "ANTHROPIC_API_KEY",
    "internal": "INTERNAL_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
}


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_example_is_current(tmp_path: Path) -> None:
    # The environment that runs this test is good enough: make need not install another.
    here = ["-o", "install", f"BIN={Path(sys.executable).parent}"]
    subprocess.run(
        ["make", "--silent", "example", f"EXAMPLE_DIR={tmp_path / 'example'}", *here],  # noqa: S607
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    assert files(tmp_path / "example") == files(EXAMPLE), "run `make example` and commit the result"


def test_the_example_names_the_place_of_every_secret_and_holds_none() -> None:
    for name, variable in PROVIDERS.items():
        [secret] = json.loads((EXAMPLE / f"secrets/{name}.json").read_text())["resources"]
        assert secret["generic_secret"] == {"secret": {"environment_variable": variable}}


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
    secrets = dict.fromkeys(PROVIDERS.values(), "sk-of-the-test")
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
    found = await admin.stats(f"(cds|rds.*|sds.*|sign_on).update_{outcome}$")
    return {name.removesuffix(f".update_{outcome}"): count for name, count in found.items()}


async def test_envoy_accepts_every_file_of_the_example(tmp_path: Path) -> None:
    async with envoy_on(runnable(tmp_path)) as admin:
        accepted, refused = await updates(admin, "success"), await updates(admin, "rejected")
    secrets = {f"sds.{name}" for name in (*PROVIDERS, "listener")}
    sign_on = "extension_config_discovery.http_filter.sign_on"
    assert set(accepted) == {
        "cluster_manager.cds",
        "http.tollhouse.rds.tollhouse",
        sign_on,
        *secrets,
    }
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


async def test_a_provider_that_leaves_is_no_error_to_an_envoy_that_runs(tmp_path: Path) -> None:
    snapshot, folder = load_snapshot(EXAMPLE_POLICIES), tmp_path / "envoy"
    settings = EnvoySettings(
        authz=Address(path="/nobody/authz.sock"),
        ratelimit=Address(path="/nobody/ratelimit.sock"),
        access_log=tmp_path / "access.json",
        listen=Address("127.0.0.1", 0),
        admin=Address("127.0.0.1", 0),
    )
    render(snapshot, settings, folder)
    async with envoy_on(folder) as admin:
        fewer = {name: one for name, one in snapshot.providers.items() if name != "mistral"}
        render(dataclasses.replace(snapshot, providers=fewer, aliases={}), settings, folder)
        assert not (folder / "secrets/mistral.json").exists()
        await removed(admin)
        assert set((await updates(admin, "rejected")).values()) == {0}
        assert set((await updates(admin, "failure")).values()) == {0}


async def removed(admin: envoy.Admin) -> None:
    async with asyncio.timeout(10):
        gone = 0
        while not gone:
            gone = (await admin.stats("cluster_manager.cluster_removed$")).popitem()[1]
            await asyncio.sleep(0.02)
