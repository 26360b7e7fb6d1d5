"""The simulator plays a provider whose secret is not there, and no other."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.support.policy import write_tree
from tollhouse.local import simulated
from tollhouse.policy.compiled import Provider
from tollhouse.policy.compiler import load_snapshot

PROVIDER = """\
  {name}:
    dialect: openai
    base_url: https://api.{name}.example/v1
    api_key: {secret}
"""


@pytest.fixture
def providers(tmp_path: Path) -> list[Provider]:
    """`openai` and `zed` read the environment, `filed` a file in `tmp_path`."""
    secrets = {
        "zed": "${ZED_KEY}",
        "openai": "${OPENAI_API_KEY}",
        "filed": f"file:{tmp_path}/filed.key",
    }
    written = [PROVIDER.format(name=name, secret=secret) for name, secret in secrets.items()]
    tree = write_tree(tmp_path / "policies", providers="providers:\n" + "".join(written))
    return list(load_snapshot(tree).providers.values())


def names(providers: list[Provider], environ: dict[str, str]) -> list[str]:
    return [provider.name for provider in simulated.without_secret(providers, environ)]


def test_providers_without_a_secret_are_listed_by_name(providers: list[Provider]) -> None:
    assert names(providers, {}) == ["filed", "openai", "zed"]


def test_a_variable_that_is_set_is_a_secret_and_an_empty_one_is_none(
    providers: list[Provider],
) -> None:
    assert names(providers, {"OPENAI_API_KEY": "sk-1", "ZED_KEY": ""}) == ["filed", "zed"]


def test_a_file_that_exists_is_a_secret_and_a_folder_is_none(
    providers: list[Provider], tmp_path: Path
) -> None:
    key = tmp_path / "filed.key"
    key.mkdir()
    assert "filed" in names(providers, {})
    key.rmdir()
    key.touch()
    assert "filed" not in names(providers, {})


def test_every_run_has_a_simulator_key_of_its_own_that_only_its_owner_can_read(
    tmp_path: Path,
) -> None:
    path, made = tmp_path / "simulator.key", set()
    path.touch(mode=0o644)
    for _ in range(3):
        simulated.new_key(path)
        made.add(path.read_text())
    assert len(made) == 3
    assert all(key.startswith("sim-") and len(key) == 36 for key in made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_stand_in_has_the_simulators_url_and_key(
    providers: list[Provider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZED_KEY", "of-the-test")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    stand_in = ("http://127.0.0.1:7/v1", tmp_path / "key")
    assert simulated.stand_ins(providers, "http://127.0.0.1:7", tmp_path / "key") == {
        "filed": stand_in,
        "openai": stand_in,
    }


def test_without_a_simulator_nobody_stands_in(providers: list[Provider], tmp_path: Path) -> None:
    assert simulated.stand_ins(providers, None, tmp_path / "key") == {}
