"""The documentation says what the code does: names, commands, fields and links are held
together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main
import yaml
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from authz_service.metrics import Metrics as AuthzMetrics
from console.alerts.metrics import AlertMetrics
from ratelimit_service.metrics import Metrics as RatelimitMetrics
from tests.support.pages import FENCED, anchors, headings
from tollhouse.bundles.cache import BundleCache
from tollhouse.bundles.source import PolicyBundles
from tollhouse.bundles.store import BundleStore
from tollhouse.cli import app
from tollhouse.decisions import ALLOWED, CODES
from tollhouse.demo import DEMO_KEYS
from tollhouse.policy import files, management_files, model_files, provider_files, team_files
from tollhouse.serving import options
from tollhouse.serving.bundles import BundleMetrics
from tollhouse.serving.clock import ClockMetrics
from tollhouse.serving.policy import PolicyMetrics

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "policies/README.md", *(ROOT / "docs").rglob("*.md")])
LONGEST_ADR = 40

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Decisions


def _codeheadings() -> list[str]:
    return [title for level, title in headings(_page("docs/decisions.md")) if level == 3]


def test_every_decision_code_has_one_heading_and_every_heading_is_a_code() -> None:
    assert sorted(_codeheadings()) == sorted([ALLOWED, *CODES])


@pytest.mark.parametrize("code", sorted(CODES))
def test_what_is_said_of_a_code_names_its_type_and_stands_under_its_status(code: str) -> None:
    page = _page("docs/decisions.md")
    before, _, after = page.partition(f"\n### {code}\n")
    section = re.split(r"^##", after, maxsplit=1, flags=re.MULTILINE)[0]
    statuses = re.findall(r"^## (.+)$", before, re.MULTILINE)[-1]
    assert str(CODES[code].status) in statuses
    if statuses.startswith("429"):
        assert f"`{CODES[code].type}`" in section
    else:
        assert section.startswith(f"`{CODES[code].type}`")
    for word in ("Decided by", "Retry"):
        assert word in section


def test_the_readme_lists_every_refusal_once_and_with_its_status() -> None:
    rows = dict.fromkeys(CODES, "")
    for statuses, codes in re.findall(r"^\| (\d{3}[\d, ]*) \| (.+) \|$", _page("README.md"), re.M):
        for code in re.findall(r"`(\w+)`", codes):
            assert rows[code] == "", f"{code} is listed twice"
            rows[code] = statuses
    for code, statuses in rows.items():
        assert str(CODES[code].status) in statuses, code


# Metrics


def _registered() -> list[Any]:
    registry = CollectorRegistry()
    AuthzMetrics(registry)
    AlertMetrics(registry)
    RatelimitMetrics(registry)
    PolicyMetrics(registry)
    ClockMetrics(registry)
    store = BundleStore("redis://127.0.0.1", timeout_seconds=1)
    BundleMetrics(registry, PolicyBundles(store, BundleCache(ROOT / "none"), []))
    return list(registry._collector_to_names)


def _name(metric: Any) -> str:
    suffix = "_total" if metric._type == "counter" else ""
    return f"{metric._name}{suffix}"


def _metric_rows() -> list[list[str]]:
    """Name, type, labels, meaning."""
    rows = re.findall(r"^\| (`\w+` \|.*) \|$", _page("docs/metrics.md"), re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def test_every_metric_is_documented_once_with_its_type_and_labels() -> None:
    documented = [
        (name.strip("`"), kind, re.findall(r"`(\w+)`", labels))
        for name, kind, labels, _ in _metric_rows()
    ]
    assert sorted(documented) == sorted(
        (_name(metric), metric._type, list(metric._labelnames)) for metric in _registered()
    )


# Access log


def _find(node: Any, key: str) -> Iterator[Any]:
    if isinstance(node, dict):
        if key in node:
            yield node[key]
        for value in node.values():
            yield from _find(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _find(value, key)


def _logged_fields() -> list[str]:
    loggers = next(_find(yaml.safe_load(_page("envoy/envoy.yaml")), "access_log"))
    (audit,) = [logger for logger in loggers if logger["name"] == "audit"]
    return list(audit["typed_config"]["log_format"]["json_format"])


def test_every_field_of_the_access_log_has_a_row_and_every_row_is_a_field() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", _page("docs/access-log.md"), re.MULTILINE)
    assert sorted(rows) == sorted(_logged_fields())


def test_the_line_shown_in_the_readme_has_no_field_that_the_log_does_not_have() -> None:
    shown = next(
        block for block in FENCED.findall(_page("README.md")) if block.startswith("```json")
    )
    names = re.findall(r'^  "(\w+)":', shown, re.MULTILINE)
    assert names
    assert set(names) <= set(_logged_fields())


# Commands


def _commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    # Typer carries its own copy of click, so its classes are not named here.
    children = getattr(command, "commands", None)
    if children is None:
        yield words, command
    for name, child in (children or {}).items():
        yield from _commands(child, f"{words} {name}")


COMMANDS: dict[str, Any] = dict(_commands(typer.main.get_command(app), "tollhouse"))


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_is_documented_with_all_its_visible_options(words: str) -> None:
    shown = rf"^\| `{words}(?: \[?[A-Z]+\]?)*` .*$"
    row = re.search(shown, _page("docs/operating.md"), re.MULTILINE)
    assert row is not None
    for parameter in COMMANDS[words].params:
        if isinstance(parameter, typer.core.TyperOption) and not parameter.hidden:
            assert f"`{parameter.opts[0]}`" in row[0]


def test_every_option_of_the_services_is_documented() -> None:
    page = _page("docs/operating.md")
    known = {
        option
        for action in options.parser("service", "")._actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    }
    assert [option for option in sorted(known) if f"`{option}`" not in page] == []


GROUPS = ("tokens", "keys", "ledger", "import", "policy", "audit")


def _commands_shown() -> list[str]:
    """Command lines of the README and of docs, in blocks and in backticks, without the program."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    names = {words.split()[1] for words in COMMANDS}
    return sorted(
        {
            " ".join(found.split())
            for found in re.findall(rf"tollhouse ((?:{'|'.join(sorted(names))})\b[^`\n|]*)", text)
        }
    )


@pytest.mark.parametrize("shown", _commands_shown())
def test_every_tollhouse_command_that_is_shown_exists_with_its_options(shown: str) -> None:
    words = shown.split()
    grouped = words[0] in GROUPS
    name = f"tollhouse {' '.join(words[: 2 if grouped else 1])}"
    assert name in COMMANDS
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    used = {word for word in words if re.fullmatch(r"--[a-z-]+", word)} - {"--help"}
    assert used <= known


def test_every_make_target_that_the_readme_shows_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", _page("Makefile"), re.MULTILINE))
    shown = set(re.findall(r"(?:`|\$ )make ([a-z]+)", _page("README.md")))
    assert {"up", "test"} <= shown <= targets


def test_the_working_session_uses_a_demo_key_and_the_default_port() -> None:
    session = FENCED.findall(_page("README.md"))[0]
    assert re.findall(r"tlh_\w+", session) == [DEMO_KEYS["marketing-website-prod-1"]]
    (port,) = [each for each in COMMANDS["tollhouse up"].params if each.name == "port"]
    assert f"http://127.0.0.1:{port.default}/v1" in session


# Policy


POLICY_MODELS = [files.OrgFile, provider_files.ProviderFile, model_files.ModelFile]


def _policy_fields() -> set[str]:
    models = [
        model
        for module in (files, management_files, model_files, provider_files, team_files)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model is not BaseModel
    ]
    return {name for model in models for name in model.model_fields}


def test_every_policy_field_is_in_the_policy_readme() -> None:
    page = _page("policies/README.md")
    assert [name for name in sorted(_policy_fields()) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("model", POLICY_MODELS)
def test_plain_defaults_in_the_policy_readme_are_those_of_the_code(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        if not field.is_required() and isinstance(field.default, str | int) and name != "owner":
            default = field.default
            shown = {"True": "true", "False": "false"}.get(str(default), str(default))
            row = rf"^\| `{name}` \| `?{re.escape(shown)}`? \|"
            assert re.search(row, _page("policies/README.md"), re.MULTILINE), name


# Pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_points_at_a_file_and_a_heading_that_exist(page: Path) -> None:
    for target in _LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = _LINK.findall(page.read_text(encoding="utf-8"))
        local = [link.partition("#")[0] for link in links if "://" not in link]
        waiting += [(page.parent / path).resolve() for path in local if path]
    assert set(PAGES) <= reached


def test_every_architecture_decision_is_short_and_has_the_same_three_parts() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        titles = [title for _, title in headings(text)]
        assert titles[0].startswith(page.name[:4])
        assert titles[1:] == ["Context", "Decision", "Consequences"]
        assert len(text.splitlines()) <= LONGEST_ADR


# Proofs


def _named_tests() -> list[str]:
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", _page("docs/proofs.md"))))


@pytest.mark.parametrize("named", _named_tests())
def test_every_test_that_is_named_as_a_proof_exists(named: str) -> None:
    path, _, name = named.partition("::")
    assert re.search(rf"^(?:async )?def {name}\(", _page(path), re.MULTILINE)
