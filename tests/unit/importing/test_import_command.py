"""`tollhouse import litellm`, run as its users run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.litellm import FIXTURES, MODELS, SHA256
from tests.unit.test_cli import tollhouse

CONFIG, KEYS = FIXTURES / "config.yaml", FIXTURES / "keys.json"


def test_a_whole_config_is_carried_and_checks(tmp_path: Path) -> None:
    words = ("import", "litellm", str(CONFIG), "--keys", str(KEYS), "--out", "tree")
    shown = tollhouse(*words, cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    first, secrets, *_ = shown.stdout.splitlines()
    assert first == (
        "carried over: 22 models (the config has 27 names), 13 providers, 4 teams, 7 of 7 keys"
    )
    assert "AZURE_SWEDEN_API_KEY" in secrets
    checked = tollhouse("check", "tree", cwd=tmp_path)
    assert "is good: 4 teams, 7 keys, 22 models, 13 providers" in checked.stdout


def test_what_is_printed_is_in_the_page_too(tmp_path: Path) -> None:
    words = ("import", "litellm", str(CONFIG), "--keys", str(KEYS), "--out", "tree")
    printed = tollhouse(*words, cwd=tmp_path).stdout
    page = (tmp_path / "tree/IMPORT.md").read_text()
    notes = [line.strip() for line in printed.splitlines() if line.startswith("    - ")]
    assert len(notes) > 30
    assert [line for line in page.splitlines() if line.startswith("- ")] == notes


def test_scripts_get_json(tmp_path: Path) -> None:
    words = ("import", "litellm", str(CONFIG), "--out", "tree", "--format", "json")
    shown = tollhouse(*words, cwd=tmp_path)
    told = json.loads(shown.stdout)
    assert set(told) == {"out", "carried", "not_carried", "to_know", "problems"}
    assert told["carried"]["models"] == 22
    assert {"group", "what", "why", "instead"} == set(told["not_carried"][0])
    assert (told["problems"], shown.returncode) == ([], 0)


def test_no_key_of_the_config_or_the_export_is_printed_or_written(tmp_path: Path) -> None:
    words = ("import", "litellm", str(CONFIG), "--keys", str(KEYS), "--out", "tree")
    shown = tollhouse(*words, cwd=tmp_path)
    files = [path.read_text() for path in (tmp_path / "tree").rglob("*") if path.is_file()]
    written = "\n".join([*files, shown.stdout, shown.stderr])
    for secret in ("sk-literal", "sk-master", "sk-acme", "sk-notakey", "postgres-password"):
        assert secret in CONFIG.read_text() + KEYS.read_text()
        assert secret not in written


def test_a_directory_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/mine.yaml").write_text("mine")
    shown = tollhouse("import", "litellm", str(CONFIG), "--out", "tree", cwd=tmp_path)
    said = "error: tree is not empty: name a new directory, nothing is overwritten\n"
    assert (shown.returncode, shown.stderr) == (1, said)
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["mine.yaml"]


def test_an_empty_directory_will_do(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    assert (
        tollhouse("import", "litellm", str(CONFIG), "--out", "tree", cwd=tmp_path).returncode == 0
    )


def test_a_tree_that_does_not_load_is_kept_and_its_problems_are_placed(tmp_path: Path) -> None:
    model = "  - {model_name: local, litellm_params: {model: openai/x, api_base: 'https://a.test/v1'}}\n"
    budget = "litellm_settings: {max_budget: 5, budget_duration: 30d}\n"
    (tmp_path / "config.yaml").write_text(MODELS + model + budget)
    shown = tollhouse("import", "litellm", "config.yaml", "--out", "tree", cwd=tmp_path)
    problem, then = shown.stderr.splitlines()
    assert problem.startswith("tree/models.yaml:13:3: 'local' needs a price, for the monthly_spend")
    assert then == "1 problem(s): edit tree, then `tollhouse check tree`."
    assert shown.returncode == 1
    assert tollhouse("check", "tree", cwd=tmp_path).stderr.splitlines()[0] == problem


def test_a_config_of_which_nothing_can_be_carried_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_list: [{model_name: a, litellm_params: {}}]")
    shown = tollhouse("import", "litellm", "config.yaml", "--out", "tree", cwd=tmp_path)
    assert "tree/models.yaml:2:9: 'models' is empty: write at least one\n" in shown.stderr
    assert shown.returncode == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: *sk-secretAlias", "config.yaml:1:4: not valid YAML"),
        ("a: [sk-secret", "config.yaml:1:14: not valid YAML"),
        ("a: !sk-secret {}", "config.yaml:1:4: not valid YAML"),
        ("[sk-secret]", "config.yaml: not a LiteLLM config: it is not a mapping"),
        ("a: sk-secret", "config.yaml: not a LiteLLM config: it has no model_list"),
        ("include: [sk.yaml]", "sk.yaml: cannot be read: No such file or directory"),
        ("a: sk-secret\x00", "config.yaml: not valid YAML"),
    ],
)
def test_a_config_that_cannot_be_read_is_named_without_its_text(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    shown = tollhouse("import", "litellm", "config.yaml", "--out", "tree", cwd=tmp_path)
    assert (shown.returncode, shown.stdout, shown.stderr) == (1, "", f"error: {said}\n")
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"token": "sk-secret"', "keys.json:1:23: not valid JSON: Expecting ',' delimiter"),
        ("", "keys.json:1:1: not valid JSON: Expecting value"),
        (f'["{SHA256}"]', "the export lists keys without saying what they may do: ask LiteLLM"),
    ],
)
def test_an_export_that_cannot_be_read_is_named_without_its_text(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "keys.json").write_text(text)
    words = ("import", "litellm", str(CONFIG), "--keys", "keys.json", "--out", "tree")
    shown = tollhouse(*words, cwd=tmp_path)
    assert shown.stderr.startswith(f"error: {said}")
    assert "secret" not in shown.stderr
    assert (shown.returncode, shown.stdout) == (1, "")
    assert not (tmp_path / "tree").exists()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    shown = tollhouse("import", "litellm", "nowhere.yaml", "--out", "tree", cwd=tmp_path)
    said = "error: nowhere.yaml: cannot be read: No such file or directory\n"
    assert (shown.returncode, shown.stderr) == (1, said)
