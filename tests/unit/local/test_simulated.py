"""The simulator plays a provider whose secret is not there, and no other."""

from __future__ import annotations

import stat
from collections.abc import Mapping
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


Providers = Mapping[str, Provider]


@pytest.fixture
def providers(tmp_path: Path) -> Providers:
    """`openai` and `zed` read the environment, `filed` a file in `tmp_path`; `open` asks for no
    key."""
    secrets = {
        "zed": "${ZED_KEY}",
        "openai": "${OPENAI_API_KEY}",
        "filed": f"file:{tmp_path}/filed.key",
    }
    written = [PROVIDER.format(name=name, secret=secret) for name, secret in secrets.items()]
    free = "  open: {dialect: openai, base_url: http://127.0.0.1:11434/v1}\n"
    tree = write_tree(tmp_path / "policies", providers="providers:\n" + "".join(written) + free)
    return load_snapshot(tree).providers


def names(providers: Providers, environ: dict[str, str], *asked: str) -> list[str]:
    return [provider.name for provider in simulated.chosen(providers, asked, environ)]


def test_providers_without_a_secret_are_played_and_those_that_ask_for_none_are_not(
    providers: Providers,
) -> None:
    assert names(providers, {}) == ["filed", "openai", "zed"]


def test_a_variable_that_is_set_is_a_secret_and_an_empty_one_is_none(providers: Providers) -> None:
    assert names(providers, {"OPENAI_API_KEY": "sk-1", "ZED_KEY": ""}) == ["filed", "zed"]


def test_a_file_that_exists_is_a_secret_and_a_folder_is_none(
    providers: Providers, tmp_path: Path
) -> None:
    key = tmp_path / "filed.key"
    key.mkdir()
    assert "filed" in names(providers, {})
    key.rmdir()
    key.touch()
    assert "filed" not in names(providers, {})


def test_whoever_is_asked_for_is_played_whatever_its_secret(providers: Providers) -> None:
    there = {"OPENAI_API_KEY": "sk-1", "ZED_KEY": "sk-2"}
    assert names(providers, there) == ["filed"]
    assert names(providers, there, "open", "zed") == ["filed", "open", "zed"]
    assert names(providers, there, simulated.ALL) == ["filed", "open", "openai", "zed"]


def test_a_name_that_the_policy_does_not_know_is_refused(providers: Providers) -> None:
    with pytest.raises(simulated.UnknownProvider, match=r"--simulate zedd: .* 'zed'"):
        names(providers, {}, "zedd")


def test_every_run_has_keys_of_its_own_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path, made = tmp_path / "simulator.key", set()
    path.touch(mode=0o644)
    for _ in range(3):
        simulated.new_key(path)
        made.add(path.read_text())
    assert len(made) == 3
    assert all(key.startswith("sim-") and len(key) == 36 for key in made)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_stand_in_has_a_key_of_its_own_and_whoever_comes_later_the_default(
    providers: Providers, tmp_path: Path
) -> None:
    default, folder = tmp_path / "simulator.key", tmp_path / "keys"
    stand_ins = simulated.StandIns(default, folder)
    stand_ins.begin([providers["openai"], providers["zed"]])
    found = stand_ins.of(providers.values(), "http://127.0.0.1:7")
    files = {name: file for name, (_, file) in found.items()}
    assert {name: url.removeprefix("http://127.0.0.1:7") for name, (url, _) in found.items()} == {
        **{"openai": "/openai/v1", "zed": "/zed/v1", "filed": "/v1", "open": "/v1"},
    }
    own = {name: folder / f"{name}.key" for name in ("openai", "zed")}
    assert files == {**own, "filed": default, "open": default}
    assert len({file.read_text() for file in files.values()}) == 3
    for file in (default, *folder.iterdir()):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_stand_in_has_the_ways_of_whom_it_is_named_after_if_they_fit(tmp_path: Path) -> None:
    text = """\
        providers:
          openai: {dialect: openai, base_url: https://a.example/v1, api_key: "${A}"}
          mistral: {dialect: openai, base_url: https://a.example/v1, api_key: "${A}"}
          azure: {dialect: openai, base_url: https://a.example/v1, api_key: "${A}"}
          deepseek: {dialect: anthropic, base_url: https://a.example/v1, api_key: "${A}"}
          own: {dialect: openai, base_url: https://a.example/v1, api_key: "${A}"}
          default: {dialect: openai, base_url: https://a.example/v1, api_key: "${A}"}
        """
    providers = load_snapshot(write_tree(tmp_path / "policies", providers=text)).providers
    options = simulated.StandIns(tmp_path / "default", tmp_path).begin(providers.values())
    quirks = [option.partition("=")[::2] for option in options if "quirk=" in option]
    assert {name: rest.partition("quirk=")[2] for name, rest in quirks} == {
        "openai": "openai",
        **{"mistral": "mistral", "azure": "default", "deepseek": "anthropic", "own": "default"},
    }
