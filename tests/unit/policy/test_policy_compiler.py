"""What a policy means once it is compiled."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.policy import KEY_ID, SHA256, TREE, team, write_tree
from tollhouse.demo import DEMO_KEYS
from tollhouse.keys import sha256_hex
from tollhouse.money import Price
from tollhouse.policy.compiled import Limits, Provider, Scope, Snapshot
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.secret import Secret

EXAMPLE = Path(__file__).parents[3] / "policies"


def compile_team(tmp_path: Path, text: str, **overrides: str) -> Snapshot:
    return load_snapshot(write_tree(tmp_path, teams__web=text, **overrides))


def test_a_key_is_found_by_its_hash_and_by_its_id(tmp_path: Path):
    snapshot = load_snapshot(write_tree(tmp_path))
    key = snapshot.keys_by_hash[SHA256]
    assert key is snapshot.keys[KEY_ID]
    assert (key.team, key.project, key.models) == ("web", "site", frozenset({"small"}))


def test_a_call_counts_in_five_scopes_from_the_key_outwards(tmp_path: Path):
    text = team(
        "limits: {requests_per_minute: 1}",
        project_lines="limits: {requests_per_minute: 2}",
        team_lines="owner: web-leads\nlimits: {requests_per_minute: 3}",
    )
    models = TREE["models.yaml"] + "    limits: {tokens_per_minute: 5}\n"
    org = "org: acme\nowner: platform\nlimits: {monthly_spend_usd: 4.5}\n"
    snapshot = compile_team(tmp_path, text, org=org, models=models)
    assert snapshot.scopes(snapshot.keys[KEY_ID], snapshot.aliases["small"]) == (
        Scope("key", KEY_ID, Limits(requests_per_minute=1), "web-leads"),
        Scope("project", "site", Limits(requests_per_minute=2), "web-leads"),
        Scope("team", "web", Limits(requests_per_minute=3), "web-leads"),
        Scope("org", "acme", Limits(monthly_spend_nanousd=4_500_000_000), "platform"),
        Scope("alias", "small", Limits(tokens_per_minute=5), "platform"),
    )


def test_without_any_allowed_models_nothing_is_allowed(tmp_path: Path):
    text = f"team: web\nprojects:\n  site:\n    keys:\n    - {{id: a, sha256: {SHA256}}}\n"
    assert compile_team(tmp_path, text).keys["a"].models == frozenset()


def test_an_empty_list_of_allowed_models_allows_nothing(tmp_path: Path):
    snapshot = compile_team(tmp_path, team("allowed_models: []"))
    assert snapshot.keys[KEY_ID].models == frozenset()


def test_the_rules_say_what_each_level_states_from_the_team_inwards(tmp_path: Path):
    snapshot = compile_team(tmp_path, team("denied_models: ['tag:cheap']"))
    rules = snapshot.keys[KEY_ID].rules
    assert [(rule.level, rule.name, rule.allowed, rule.denied) for rule in rules] == [
        ("team", "web", None, frozenset()),
        ("project", "site", frozenset({"small"}), frozenset()),
        ("key", KEY_ID, None, frozenset({"small"})),
    ]
    assert [rule.permits("small") for rule in rules] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (team("blocked: true"), "key"),
        (team(project_lines="blocked: true"), "project"),
        (team(team_lines="blocked: true"), "team"),
        (team("blocked: true", team_lines="blocked: true"), "team"),
        (team(), None),
    ],
)
def test_a_block_names_the_widest_level_that_blocks(text: str, level: str | None, tmp_path: Path):
    assert compile_team(tmp_path, text).keys[KEY_ID].blocked_at == level


def test_a_demo_key_is_blocked_unless_demo_keys_are_allowed(tmp_path: Path):
    demo = sha256_hex(DEMO_KEYS["marketing-website-prod-1"])
    write_tree(tmp_path, teams__web=team().replace(SHA256, demo))
    assert load_snapshot(tmp_path).keys[KEY_ID].blocked_at == "demo"
    assert load_snapshot(tmp_path, allow_demo_keys=True).keys[KEY_ID].blocked_at is None


@pytest.mark.parametrize(
    ("expires", "moment"),
    [
        ("2027-06-30", datetime(2027, 6, 30, 22, tzinfo=UTC)),
        ("2027-12-31", datetime(2027, 12, 31, 23, tzinfo=UTC)),
        ("2027-06-30T18:00:00", datetime(2027, 6, 30, 16, tzinfo=UTC)),
        ("2027-06-30T18:00:00Z", datetime(2027, 6, 30, 18, tzinfo=UTC)),
        ("2027-06-30T18:00:00-05:00", datetime(2027, 6, 30, 23, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_reckoned_in_the_time_zone_of_the_org(
    expires: str, moment: datetime, tmp_path: Path
):
    text = team(f"expires: {expires}")
    snapshot = compile_team(tmp_path, text, org="time_zone: Europe/Berlin\n")
    assert snapshot.keys[KEY_ID].expires_at == moment.timestamp()


def test_a_key_without_expiry_never_expires(tmp_path: Path):
    assert compile_team(tmp_path, team()).keys[KEY_ID].expires_at is None


def test_metadata_keeps_its_types(tmp_path: Path):
    text = team("metadata: {owner: ops, cost_center: 4711, share: 0.5, pilot: true}")
    assert compile_team(tmp_path, text).keys[KEY_ID].metadata == {
        "owner": "ops",
        "cost_center": 4711,
        "share": 0.5,
        "pilot": True,
    }


def test_defaults_become_compact_json_in_the_order_written(tmp_path: Path):
    models = """\
        models:
          small:
            provider: openai
            model: gpt-4o-mini
            defaults:
              temperature: 0.2
              top_p: 1
              stop: ["\\n", é]
              response_format: {type: json_schema, strict: true, a: null}
        """
    defaults = load_snapshot(write_tree(tmp_path, models=models)).aliases["small"].defaults
    assert defaults == {
        "temperature": "0.2",
        "top_p": "1",
        "stop": '["\\n","\\u00e9"]',
        "response_format": '{"type":"json_schema","strict":true,"a":null}',
    }
    assert json.loads(defaults["stop"]) == ["\n", "é"]


@pytest.mark.parametrize(
    ("fields", "url", "secret", "header"),
    [
        (
            "base_url: https://a.example/v1/, api_key: '${A_KEY}'",
            "https://a.example/v1",
            Secret("env", "A_KEY"),
            ("authorization", "Bearer "),
        ),
        (
            "base_url: 'http://127.0.0.1:80', api_key: 'file:/run/secrets/a', auth_header: Api-Key",
            "http://127.0.0.1:80",
            Secret("file", "/run/secrets/a"),
            ("api-key", ""),
        ),
        (
            "base_url: 'http://[::1]:8080/v1', api_key: '${A_KEY}'",
            "http://[::1]:8080/v1",
            Secret("env", "A_KEY"),
            ("authorization", "Bearer "),
        ),
        (
            "base_url: http://a.internal/v1, allow_plain_http: true, api_key: '${A_KEY}'",
            "http://a.internal/v1",
            Secret("env", "A_KEY"),
            ("authorization", "Bearer "),
        ),
    ],
)
def test_a_provider_says_where_it_is_and_how_its_secret_is_sent(
    fields: str, url: str, secret: Secret, header: tuple[str, str], tmp_path: Path
):
    text = f"providers:\n  openai: {{dialect: openai, {fields}}}\n"
    provider = load_snapshot(write_tree(tmp_path, providers=text)).providers["openai"]
    assert (provider.base_url, provider.secret) == (url, secret)
    assert (provider.auth_header, provider.auth_prefix) == header


def compiled(fields: str, folder: Path) -> Provider:
    text = f"providers:\n  openai: {{base_url: https://a.example/v1, {fields}}}\n"
    return load_snapshot(write_tree(folder, providers=text)).providers["openai"]


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ("dialect: anthropic, api_key: '${A_KEY}'", ("x-api-key", "")),
        (
            "dialect: anthropic, api_key: '${A_KEY}', auth_header: Authorization",
            ("authorization", "Bearer "),
        ),
        (
            "dialect: openai, api_key: '${A_KEY}', auth_prefix: 'Token '",
            ("authorization", "Token "),
        ),
        ("dialect: openai, api_key: '${A_KEY}', auth_prefix: ''", ("authorization", "")),
    ],
)
def test_the_dialect_and_the_policy_say_how_the_secret_is_sent(
    fields: str, header: tuple[str, str], tmp_path: Path
):
    provider = compiled(fields, tmp_path)
    assert (provider.auth_header, provider.auth_prefix) == header


def test_anthropics_version_is_sent_unless_the_policy_says_another(tmp_path: Path):
    plain, other = "dialect: anthropic", "dialect: anthropic, headers: {Anthropic-Version: v2}"
    assert compiled(plain, tmp_path / "a").headers == {"anthropic-version": "2023-06-01"}
    assert compiled(other, tmp_path / "b").headers == {"anthropic-version": "v2"}
    assert compiled("dialect: openai", tmp_path / "c").headers == {}


def test_a_provider_that_names_no_key_has_no_secret(tmp_path: Path):
    assert compiled("dialect: openai", tmp_path).secret is None


def test_headers_limits_and_cooldowns_are_as_written(tmp_path: Path):
    written = (
        "dialect: openai, headers: {HTTP-Referer: 'https://acme.example'},"
        " forward_headers: [OpenAI-Beta, openai-beta], ca_file: /run/ca.crt, server_name: a.b,"
        " max_connections: 9, max_pending_requests: 8, cooldown_seconds: 0.5, cooldown_after: 2"
    )
    provider = compiled(written, tmp_path)
    assert provider.headers == {"http-referer": "https://acme.example"}
    assert provider.forward_headers == ("openai-beta",)
    assert (provider.ca_file, provider.server_name) == ("/run/ca.crt", "a.b")
    assert (provider.max_connections, provider.max_pending_requests) == (9, 8)
    assert (provider.cooldown_seconds, provider.cooldown_after) == (0.5, 2)


def test_an_alias_takes_the_name_of_the_output_limit_from_its_provider(tmp_path: Path):
    providers = TREE["providers.yaml"] + "    max_tokens_field: max_tokens\n"
    snapshot = load_snapshot(write_tree(tmp_path, providers=providers))
    assert snapshot.aliases["small"].first.max_tokens_field == "max_tokens"


def test_without_org_yaml_the_documented_defaults_hold(tmp_path: Path):
    org = load_snapshot(write_tree(tmp_path, org=None)).org
    assert (org.name, org.time_zone, org.owner, org.limits) == ("default", "UTC", None, Limits())
    assert (org.on_store_outage, org.on_lost_reservation) == ("deny", "charge")
    assert (org.reservation_lease_seconds, org.default_max_output_tokens) == (900, 4096)
    assert org.max_request_bytes == 33_554_432


def test_a_stated_price_beats_the_public_one_and_is_exact(tmp_path: Path):
    alias = load_snapshot(write_tree(tmp_path)).aliases["small"]
    assert alias.price == Price(input=150_000_000, output=600_000_000, cached_input=150_000_000)
    assert alias.first.price_source == "policy"


def test_comments_and_layout_do_not_change_the_version_but_values_do(tmp_path: Path):
    first = load_snapshot(write_tree(tmp_path)).version
    write_tree(tmp_path, org="# a comment\n\n'org':   acme\n")
    assert load_snapshot(tmp_path).version == first
    write_tree(tmp_path, org="org: acme2\n")
    assert load_snapshot(tmp_path).version != first
    assert len(first) == 12


def test_the_order_of_a_default_changes_the_version_because_it_is_what_is_sent(tmp_path: Path):
    def version(default: str) -> str:
        models = f"{TREE['models.yaml']}    defaults: {{metadata: {default}}}\n"
        return load_snapshot(write_tree(tmp_path, models=models)).version

    assert version("{a: 1, b: 2}") != version("{b: 2, a: 1}")


def test_a_snapshot_cannot_be_written_to(tmp_path: Path):
    snapshot = load_snapshot(write_tree(tmp_path))
    with pytest.raises(TypeError):
        snapshot.keys["other"] = snapshot.keys[KEY_ID]  # type: ignore[index]
    with pytest.raises(AttributeError):
        snapshot.version = "x"  # type: ignore[misc]


def test_the_example_policy_compiles_and_its_demo_keys_are_the_published_ones():
    snapshot = load_snapshot(EXAMPLE, allow_demo_keys=True)
    assert {id_: key.sha256 for id_, key in snapshot.keys.items()} == {
        id_: sha256_hex(key) for id_, key in DEMO_KEYS.items()
    }
    assert all(key.models and key.blocked_at is None for key in snapshot.keys.values())
    assert all(alias.price for alias in snapshot.aliases.values())
    assert len(snapshot.aliases) >= 5
