"""policies/examples/providers.yaml and docs/providers.md say the same; the real Envoy takes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support.pages import FENCED, headings
from tests.support.parts import envoy_of
from tests.support.policy import write_tree
from tollhouse.fetch import get_json
from tollhouse.paths import EXAMPLE_POLICIES
from tollhouse.policy.compiled import Provider
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.loader import policy_files
from tollhouse.rendering import Address, EnvoySettings, render

EXAMPLE = EXAMPLE_POLICIES / "examples" / "providers.yaml"
PAGE = (EXAMPLE_POLICIES.parent / "docs" / "providers.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy with all of them."""
    text = EXAMPLE.read_text(encoding="utf-8")
    return write_tree(tmp_path_factory.mktemp("policies"), providers=text)


@pytest.fixture(scope="module")
def providers(tree: Path) -> dict[str, Provider]:
    return dict(load_snapshot(tree).providers)


def test_the_page_has_one_stanza_for_each_example_and_says_the_same() -> None:
    written = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["providers"]
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert [name for stanza in shown for name in stanza] == list(written)
    assert {name: fields for stanza in shown for name, fields in stanza.items()} == written


def test_every_stanza_says_what_it_serves_and_where_that_is_from() -> None:
    sections = [part for part in PAGE.split("\n## ")[1:] if FENCED.search(part)]
    assert len(sections) == len(re.findall("```yaml", PAGE)) > 15
    for section in sections:
        assert re.search(r"^- Serves: .+\.$", section, re.MULTILINE), section.splitlines()[0]
        assert re.search(r"^- Source: .+", section, re.MULTILINE), section.splitlines()[0]


def test_the_loader_leaves_the_examples_alone() -> None:
    assert EXAMPLE not in policy_files(EXAMPLE_POLICIES)


def test_examples_hold_no_secret_and_only_ollama_asks_for_none(
    providers: dict[str, Provider],
) -> None:
    assert [name for name, each in providers.items() if each.secret is None] == ["ollama"]


@pytest.mark.parametrize(
    ("name", "path", "header", "prefix"),
    [
        ("openai", "/v1", "authorization", "Bearer "),
        ("anthropic", "/v1", "x-api-key", ""),
        ("anthropic-compatible", "/v1", "authorization", "Bearer "),
        ("azure", "/openai/v1", "api-key", ""),
        ("gemini", "/v1beta/openai", "authorization", "Bearer "),
        ("deepseek-anthropic", "/anthropic/v1", "x-api-key", ""),
        ("openrouter", "/api/v1", "authorization", "Bearer "),
        ("bedrock", "/openai/v1", "authorization", "Bearer "),
        ("cohere-rerank", "/v2", "authorization", "Bearer "),
        ("other", "/api/v1", "authorization", "Token "),
    ],
)
def test_what_is_peculiar_to_a_provider_is_in_its_stanza(
    providers: dict[str, Provider], name: str, path: str, header: str, prefix: str
) -> None:
    provider = providers[name]
    assert provider.base_url.partition("//")[2].partition("/")[2] == path.removeprefix("/")
    assert (provider.auth_header, provider.auth_prefix) == (header, prefix)


def test_the_real_envoy_takes_every_example(tree: Path, tmp_path: Path) -> None:
    ca, key = tmp_path / "ca.crt", tmp_path / "vllm"
    ca.write_bytes(Path("/etc/ssl/certs/ca-certificates.crt").read_bytes())
    key.write_text("sk-of-the-test")
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("/etc/tollhouse/internal-ca.crt", str(ca))
    # From files, so that this test's environment need not have each variable.
    text = re.sub(r"\$\{[A-Z_]+\}|file:/run/secrets/vllm", f"file:{key}", text)
    snapshot = load_snapshot(write_tree(tree, providers=text))
    settings = EnvoySettings(
        authz=Address(path="/nobody/authz.sock"),
        ratelimit=Address(path="/nobody/ratelimit.sock"),
        access_log=tmp_path / "access.json",
        listen=Address("127.0.0.1", 0),
        admin=Address("127.0.0.1", 0),
    )
    render(snapshot, settings, tmp_path / "envoy")
    with envoy_of(tmp_path / "envoy"):
        admin = (tmp_path / "envoy" / "admin").read_text()
        found = get_json(f"http://{admin}/stats?format=json&filter=update_(rejected|success)$")
        stats = {each["name"]: each["value"] for each in found["stats"] if "name" in each}
        clusters = get_json(f"http://{admin}/clusters?format=json")["cluster_statuses"]
    assert {name for name, count in stats.items() if name.endswith("rejected") and count} == set()
    taken = {each["name"] for each in clusters}
    for name in snapshot.providers:
        assert {f"provider.{name}", f"provider.{name}.pool"} <= taken
        if name != "ollama":
            assert stats[f"sds.{name}.update_success"] == 1
    assert stats["sds._ca.vllm.update_success"] == 1


def test_the_page_is_about_headers_tls_and_cooldown() -> None:
    assert {"Headers", "TLS", "Cooldown"} <= {title for _, title in headings(PAGE)}
