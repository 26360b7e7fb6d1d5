"""One minimal bad policy for each message: what is said, and where it points."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.policy import SHA256, TREE, write_tree
from tollhouse.demo import DEMO_KEYS
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.problems import PolicyError


class Bad(NamedTuple):
    """A file replaced by a bad one, and the whole problem that must come of it."""

    name: str
    text: str
    problem: str


PROVIDER = (
    "providers:\n  openai:\n    dialect: openai\n    base_url: {url}\n    api_key: {secret}\n"
)
KEYLESS = "providers:\n  openai:\n    dialect: openai\n    base_url: https://a.example/v1\n"
ALIAS = "models:\n  small:\n    provider: openai\n    model: gpt-4o-mini\n"
KEYS = "team: web\nprojects:\n  site:\n    allowed_models: [small]\n    keys:\n"
NAME_RULE = (
    "must be letters, digits, '.', '_' or '-', beginning with a letter or digit, at most 128"
)


def provider(url: str = "https://a.example/v1", secret: str = "${P_KEY}") -> str:  # noqa: S107
    return PROVIDER.format(url=url, secret=secret)


YAML = [
    Bad("org", "org: a\norg: b\n", "org.yaml:2:1: 'org' is written twice here, first on line 1"),
    Bad("org", "org: &a acme\n", "org.yaml:1:6: anchors and aliases (& and *) are not used here"),
    Bad("org", "limits: {<<: {}}\n", "org.yaml:1:10: merge keys (<<) are not used here"),
    Bad("org", "org: !!binary aGk=\n", "org.yaml:1:6: tags (!) are not used here"),
    Bad("org", "limits: !x {}\n", "org.yaml:1:9: tags (!) are not used here"),
    Bad("org", "on: a\n", "org.yaml:1:1: YAML does not read this key as text: put it in quotes"),
    Bad("org", "org: a\n---\norg: b\n", "org.yaml:2:1: a file holds one document: remove '---'"),
    Bad("org", "org: " + "[" * 33 + "]" * 33, "org.yaml:1:37: nested too deeply"),
    Bad(
        "org",
        "reservation_lease_seconds: 15:00\n",
        "org.yaml:1:28: YAML reads this as a number in base 2, 8, 16 or 60: write it in base 10",
    ),
    Bad(
        "org",
        "reservation_lease_seconds: 0900\n",
        "org.yaml:1:28: 'reservation_lease_seconds' must be a whole number, not text",
    ),
    Bad("org", "limits: {monthly_spend_usd: .inf}", "org.yaml:1:29: not a plain decimal number"),
    Bad("org", "limits: {monthly_spend_usd: 1:30.5}", "org.yaml:1:29: not a plain decimal number"),
    Bad("org", "org: 2027-13-01\n", "org.yaml:1:6: there is no such date"),
    Bad("org", "", "org.yaml:1:1: the file is empty"),
    Bad("org", "[a]\n", "org.yaml:1:1: the file must be a mapping, not a list"),
    Bad(
        "providers",
        "providers:\n  p: {api_key: ${P}}\n",
        "providers.yaml:2:17: not valid YAML: did not find expected ',' or '}';"
        " inside { } write ${…} in quotes",
    ),
    Bad(
        "org",
        "limits:\n\trequests_per_minute: 1\n",
        "org.yaml:2:1: not valid YAML: found character that cannot start any token;"
        " indent with spaces, YAML does not allow tabs",
    ),
    Bad("org", "org: a\x01\n", "org.yaml:1:7: not valid YAML: the character U+0001 is not allowed"),
]

TYPES = [
    Bad(
        "models",
        ALIAS + "    price: {input_per_million: 1, output_per_million: 1, cached: 1}\n",
        "models.yaml:5:58: unknown field 'cached'; known: cache_write_1h_per_million,"
        " cache_write_per_million, cached_input_per_million, input_audio_per_million,"
        " input_image_per_million, input_per_million, long_context, minimum_audio_seconds,"
        " output_audio_per_million, output_image_per_million, output_per_million, per_hour"
        " and 6 more",
    ),
    Bad(
        "models",
        ALIAS + "    price: {input_per_million: 1}\n",
        "models.yaml:5:12: 'price' needs input_per_million and output_per_million, or another unit"
        " alone: per_image, per_minute, per_hour, per_million_characters, per_thousand_searches,"
        " per_request",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_minute: 1, per_hour: 60}\n",
        "models.yaml:5:12: 'price' has per_minute and per_hour: write one of them",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: 1, minimum_audio_seconds: 10}\n",
        "models.yaml:5:12: 'price' has minimum_audio_seconds: it needs per_minute or per_hour",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: {hd 1024x1024: 1}}\n",
        "models.yaml:5:24: 'per_image' needs a default, for all variants that it does not name",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: {default: 1, hd 1024x1024: 1.5}}\n",
        "models.yaml:5:24: 'per_image' has a default that is not the dearest: it bounds what a"
        " call can cost",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: {default: 1, hd: 1}}\n",
        'models.yaml:5:37: \'hd\' must be "QUALITY SIZE" as in "hd 1024x1792", or default',
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: {default: -1}}\n",
        "models.yaml:5:34: 'default' must be USD, 0 or more, with at most nine decimals",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: cheap}\n",
        "models.yaml:5:24: 'per_image' must be a number, or a mapping of \"QUALITY SIZE\" and"
        " default to numbers",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_image: 10001}\n",
        "models.yaml:5:24: 'per_image' must be at most 10000",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_request: 1, long_context: [{input_per_million: 1}]}\n",
        "models.yaml:5:44: the field 'above_input_tokens' is missing",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_request: 1, long_context: [{above_input_tokens: 2},"
        " {above_input_tokens: 2}]}\n",
        "models.yaml:5:43: 'long_context' must have rising above_input_tokens",
    ),
    Bad(
        "models",
        ALIAS + "    price: {per_request: 1, service_tiers: {default: {}}}\n",
        "models.yaml:5:45: 'default' must be a tier as providers name it, such as flex or priority;"
        " the rates of the standard tier are those beside service_tiers",
    ),
    Bad(
        "org",
        "limits:\n  request_per_minute: 5\n",
        "org.yaml:2:3: unknown field 'request_per_minute': did you mean 'requests_per_minute'?",
    ),
    Bad(
        "org",
        "limits: {zzz: 5}\n",
        "org.yaml:1:10: unknown field 'zzz'; known: budget_mode, daily_spend_usd,"
        " max_parallel_requests, monthly_spend_usd, requests_per_day, requests_per_minute,"
        " tokens_per_day, tokens_per_minute, weekly_spend_usd",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}, envv: x}}\n",
        "teams/web.yaml:6:89: unknown field 'envv': did you mean 'env'?",
    ),
    Bad(
        "models",
        "models:\n  small: {provider: openai}",
        "models.yaml:2:10: the field 'model' is missing",
    ),
    Bad("org", "org:\n", "org.yaml:1:5: 'org' has no value: write one or remove the line"),
    Bad(
        "org",
        "org: no\n",
        "org.yaml:1:6: 'org' must be text, not true or false"
        " (YAML reads a bare yes, no, on or off so: put it in quotes)",
    ),
    Bad("org", "org: 12\n", "org.yaml:1:6: 'org' must be text, not a number: put it in quotes"),
    Bad("org", "org: 2027-01-01", "org.yaml:1:6: 'org' must be text, not a date: put it in quotes"),
    Bad("org", "org: [a]\n", "org.yaml:1:6: 'org' must be text, not a list"),
    Bad("org", "limits: 5\n", "org.yaml:1:9: 'limits' must be a mapping, not a number"),
    Bad(
        "org",
        "limits: {tokens_per_minute: many}\n",
        "org.yaml:1:29: 'tokens_per_minute' must be a whole number, not text",
    ),
    Bad(
        "org",
        "limits: {tokens_per_minute: 1.5}\n",
        "org.yaml:1:29: 'tokens_per_minute' must be a whole number, not a number with a point",
    ),
    Bad(
        "org",
        "limits: {requests_per_minute: 0}\n",
        "org.yaml:1:31: 'requests_per_minute' must be at least 1",
    ),
    Bad(
        "org",
        "limits: {monthly_spend_usd: 4000001}\n",
        "org.yaml:1:29: 'monthly_spend_usd' must be at most 4000000",
    ),
    Bad(
        "org",
        'limits: {monthly_spend_usd: "5"}\n',
        "org.yaml:1:29: 'monthly_spend_usd' must be a number, not text",
    ),
    Bad(
        "org",
        "on_store_outage: maybe\n",
        "org.yaml:1:18: 'on_store_outage' must be 'deny' or 'allow'",
    ),
    Bad(
        "providers",
        provider() + "    idle_timeout_seconds: 0\n",
        "providers.yaml:6:27: 'idle_timeout_seconds' must be more than 0",
    ),
    *(
        Bad(
            "providers",
            provider() + f"    {field}: {least - 1}\n",
            f"providers.yaml:6:{7 + len(field)}: '{field}' must be at least {least}",
        )
        for field, least in (
            ("cooldown_seconds", 0),
            ("cooldown_after", 1),
            ("max_connections", 1),
            ("max_pending_requests", 1),
        )
    ),
    Bad(
        "providers",
        provider().replace("dialect: openai", "dialect: bedrock"),
        "providers.yaml:3:14: 'dialect' must be 'openai' or 'anthropic'",
    ),
    Bad(
        "providers",
        "providers: {}\n",
        "providers.yaml:1:12: 'providers' is empty: write at least one",
    ),
    Bad(
        "models",
        ALIAS + "    endpoints: [chat/completions, chat/completion]\n",
        "models.yaml:5:35: item 2 of 'endpoints' names none that there is: did you mean"
        " 'chat/completions'?",
    ),
    Bad(
        "teams__web",
        "team: web\nblocked: 1\n",
        "teams/web.yaml:2:10: 'blocked' must be true or false, not a number",
    ),
    Bad(
        "teams__web",
        "team: web\nallowed_models: small\n",
        "teams/web.yaml:2:17: 'allowed_models' must be a list, not text",
    ),
]

VALUES = [
    Bad("org", "org: my org\n", f"org.yaml:1:6: 'org' {NAME_RULE}"),
    Bad(
        "teams__web",
        "team: web\nprojects:\n  my site: {}\n",
        f"teams/web.yaml:3:3: 'my site' {NAME_RULE}",
    ),
    Bad(
        "models",
        'models:\n  "tag:x": {provider: openai, model: gpt-4o-mini}\n',
        "models.yaml:2:3: 'tag:x' must be letters, digits, '.', '_', ':', '/', '@' or '-',"
        " beginning with a letter or digit, at most 128, and not begin with 'tag:' or 'group:'",
    ),
    Bad(
        "org",
        'owner: "a\\nb"\n',
        "org.yaml:1:8: 'owner' must be one line of 1 to 200 printable characters",
    ),
    Bad(
        "org",
        "time_zone: Europe/Berlinn\n",
        "org.yaml:1:12: 'time_zone' must be an IANA time zone such as UTC or Europe/Berlin:"
        " did you mean 'Europe/Berlin'?",
    ),
    Bad(
        "org",
        "time_zone: America\n",
        "org.yaml:1:12: 'time_zone' must be an IANA time zone such as UTC or Europe/Berlin:"
        " did you mean 'America/Nuuk'?",
    ),
    Bad(
        "providers",
        provider(url="http://a.example/v1"),
        "providers.yaml:4:15: 'base_url' must begin with https://, or the provider's secret"
        " travels unencrypted (allow_plain_http: true accepts that)",
    ),
    Bad(
        "providers",
        provider(url="https://a.example/v1/chat/completions"),
        "providers.yaml:4:15: 'base_url' must end before the endpoint, with /v1 or the like: calls"
        " add /chat/completions",
    ),
    *(
        Bad(
            "providers",
            provider(url=url),
            "providers.yaml:4:15: 'base_url' must be a URL such as https://api.example.com/v1,"
            " with no user, query or fragment",
        )
        for url in (
            "ftp://a.example/v1",
            "https://user:pass@a.example/v1",
            "https://a.example/v1?key=x",
            "https://a.example:99999",
            "https://a.example:0",
            "https:///v1",
            "https://[::1/v1",
            "https://a.example/v 1",
            "HTTPS://a.example/v1",
            "' https://a.example/v1'",
            '"https://a.exam\\tple/v1"',
            '"https://a.example/v1\\n"',
            "https://a.example\\v1",
            "'https://[::1%\"}os.exit()--]/v1'",
        )
    ),
    *(
        Bad(
            "providers",
            provider(secret=secret),
            "providers.yaml:5:14: 'api_key' must name a secret, never be one:"
            " write ${VARIABLE} or file:/absolute/path",
        )
        for secret in ("sk-live-123456", "$P_KEY", "${P KEY}", "file:relative")
    ),
    Bad(
        "providers",
        provider() + "    auth_header: 'x api'\n",
        "providers.yaml:6:18: 'auth_header' must be the name of an HTTP header",
    ),
    Bad(
        "providers",
        provider() + "    auth_header: idempotency-key\n",
        "providers.yaml:6:18: 'auth_header' is a header that the gateway writes itself:"
        " the secret needs one of its own",
    ),
    Bad(
        "providers",
        provider() + "    auth_header: x-title\n",
        "providers.yaml:6:18: 'auth_header' must be named as credentials are, such as"
        " authorization, x-api-key or api-token",
    ),
    *(
        Bad(
            "providers",
            provider() + f"    {field}\n",
            f"providers.yaml:6:{column} carries a credential: name it in 'auth_header', and where"
            " it is in 'api_key'",
        )
        for field, column in (
            ("headers: {authorization: x}", "15: 'authorization'"),
            ("headers: {ocp-apim-subscription-key: x}", "15: 'ocp-apim-subscription-key'"),
            ("forward_headers: [x-goog-api-key]", "23: item 1 of 'forward_headers'"),
            ("forward_headers: [cookie]", "23: item 1 of 'forward_headers'"),
        )
    ),
    *(
        Bad(
            "providers",
            provider() + f"    headers: {{{name}: x}}\n",
            f"providers.yaml:6:15: '{name}' is a header that the gateway sends or withholds by"
            " itself",
        )
        for name in ("x-tollhouse-provider", "host", "x-forwarded-for", "accept-encoding")
    ),
    Bad(
        "providers",
        provider() + "    headers: {X-Title: a, x-title: b}\n",
        "providers.yaml:6:14: 'headers' names a header twice: case makes no difference",
    ),
    Bad(
        "providers",
        provider() + '    headers: {x-title: "a\\r\\nb"}\n',
        "providers.yaml:6:24: 'x-title' must be 1 to 512 visible ASCII characters, with spaces"
        " only between them",
    ),
    *(
        Bad(
            "providers",
            provider() + f"    headers: {{x-title: {value}}}\n",
            "providers.yaml:6:24: 'x-title' looks like a secret, and policies hold none: 'api_key'"
            " says where it is",
        )
        for value in ("sk-live-1", "Bearer abc", "tlh_abc")
    ),
    Bad(
        "providers",
        provider() + '    auth_prefix: "a\\tb"\n',
        "providers.yaml:6:18: 'auth_prefix' must be at most 64 printable ASCII characters, such as"
        " 'Bearer '",
    ),
    *(
        Bad(
            "providers",
            KEYLESS + f"    {name}: x-api-key\n",
            f"providers.yaml:5:18: '{name}' says how 'api_key' is sent, which is not there",
        )
        for name in ("auth_header", "auth_prefix")
    ),
    Bad(
        "providers",
        provider() + "    ca_file: ca.crt\n",
        "providers.yaml:6:14: 'ca_file' must be an absolute path, as Envoy sees it",
    ),
    Bad(
        "providers",
        provider() + "    server_name: https://a.example\n",
        "providers.yaml:6:18: 'server_name' must be a host name, as in the provider's certificate",
    ),
    *(
        Bad(
            "providers",
            provider(url="http://127.0.0.1/v1") + f"    {field}: /a\n",
            f"providers.yaml:6:{column}: '{field}' is about TLS, and 'base_url' begins with http://",
        )
        for field, column in (("ca_file", 14), ("server_name", 18))
    ),
    Bad(
        "providers",
        "providers:\n  a.pool: {dialect: openai, base_url: https://a.example/v1}\n",
        "providers.yaml:2:3: 'a.pool' cannot end in '.pool', which the gateway adds itself",
    ),
    *(
        Bad(
            "models",
            ALIAS + f"    defaults: {{{name}: 1}}\n",
            f"models.yaml:5:16: '{name}' cannot have a default: write a lowercase parameter name"
            " that the gateway does not itself govern (input, max_completion_tokens,"
            " max_output_tokens, max_tokens, messages, model, n, stream, stream_options it does)",
        )
        for name in ("model", "stream", "stream_options", "n", "max_tokens", "Model", 'a"b')
    ),
    *(
        Bad(
            "models",
            ALIAS + f"    defaults: {{stop: {value}}}\n",
            "models.yaml:5:22: 'stop' must be a value that JSON knows: text, a number, true,"
            " false, a list or a mapping",
        )
        for value in ("2027-01-01", "null", "[2027-01-01]")
    ),
    Bad(
        "models",
        ALIAS + "    price: {input_per_million: 0.1234567891, output_per_million: 1}\n",
        "models.yaml:5:32: 'input_per_million' must be USD, 0 or more, with at most nine decimals",
    ),
    Bad(
        "org",
        "limits: {monthly_spend_usd: -1}\n",
        "org.yaml:1:29: 'monthly_spend_usd' must be USD, 0 or more, with at most nine decimals",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: {DEMO_KEYS['marketing-website-prod-1']}, sha256: {SHA256}}}\n",
        "teams/web.yaml:6:12: 'id' looks like a key, and ids are logged: write a name for the key",
    ),
    Bad(
        "teams__web",
        KEYS + "    - {id: a, sha256: tlh_secret}\n",
        "teams/web.yaml:6:23: 'sha256' must be the 64 lowercase hex digits of the key's SHA-256,"
        " as `tollhouse keys new` prints them",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}, expires: soon}}\n",
        "teams/web.yaml:6:98: 'expires' must be a date such as 2027-06-30"
        " (or a time such as 2027-06-30T18:00:00Z)",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}, expires: 9999-12-31}}\n",
        "teams/web.yaml:6:98: 'expires' must lie between the years 2000 and 2999;"
        " a key without it never expires",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}, metadata: {{since: 2027-01-01}}}}\n",
        "teams/web.yaml:6:107: 'since' must be text, a number, true or false",
    ),
]

ACROSS = [
    Bad(
        "models",
        ALIAS.replace("openai", "opnai"),
        "models.yaml:3:15: unknown provider 'opnai': did you mean 'openai'?",
    ),
    Bad(
        "teams__web",
        "team: web\nallowed_models: [smal]\n",
        "teams/web.yaml:2:18: unknown model 'smal': did you mean 'small'?",
    ),
    Bad(
        "teams__web",
        "team: web\nprojects:\n  site:\n    denied_models:\n    - tag:cheep\n",
        "teams/web.yaml:5:7: no model has the tag 'cheep': did you mean 'cheap'?",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}, denied_models: ['gpt5_*']}}\n",
        "teams/web.yaml:6:105: no model matches 'gpt5_*'; known: small",
    ),
    Bad(
        "teams__web2",
        "team: web\n",
        "teams/web2.yaml:1:7: team 'web' is used twice, first at teams/web.yaml:1",
    ),
    Bad(
        "teams__web",
        KEYS + f"    - {{id: a, sha256: {SHA256}}}\n    - {{id: a, sha256: {'a' * 64}}}\n",
        "teams/web.yaml:7:12: the key id 'a' is used twice, first at teams/web.yaml:6",
    ),
    Bad(
        "teams__web",
        KEYS.rstrip() + f" [{{id: a, sha256: {SHA256}}}, {{id: a, sha256: {'a' * 64}}}]\n",
        "teams/web.yaml:5:100: the key id 'a' is used twice, first at teams/web.yaml:5",
    ),
    Bad(
        "teams__ops",
        KEYS.replace("web", "ops") + f"    - {{id: b, sha256: {SHA256}}}\n",
        f"teams/web.yaml:7:17: the sha256 {SHA256[:8]}… is used twice, first at teams/ops.yaml:6",
    ),
]

FILES = [
    Bad(
        "model",
        "models: {}\n",
        "model.yaml:1:1: unknown policy file: a policy is org.yaml, providers.yaml, models.yaml"
        ", management.yaml, teams/*.yaml and keys/*.yaml",
    ),
]


@pytest.mark.parametrize("bad", YAML + TYPES + VALUES + ACROSS + FILES, ids=lambda bad: bad.problem)
def test_a_bad_policy_is_named_by_place_and_reason(bad: Bad, tmp_path: Path):
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, **{bad.name: bad.text}))
    assert str(caught.value) == bad.problem


@pytest.mark.parametrize("name", ["providers", "models"])
def test_a_missing_file_is_named(name: str, tmp_path: Path):
    with pytest.raises(PolicyError, match=rf"^{name}\.yaml:1:1: the file is missing$"):
        load_snapshot(write_tree(tmp_path, **{name: None}))


def test_a_missing_directory_is_named(tmp_path: Path):
    with pytest.raises(PolicyError, match="absent:1:1: not a directory that can be read"):
        load_snapshot(tmp_path / "absent")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path):
    write_tree(tmp_path)
    (tmp_path / "org.yaml").write_bytes(b"org: \xff\n")
    with pytest.raises(PolicyError, match=r"org\.yaml:1:1: not UTF-8 text"):
        load_snapshot(tmp_path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path):
    write_tree(tmp_path, org=None)
    (tmp_path / "org.yaml").mkdir()
    with pytest.raises(PolicyError, match=r"org\.yaml:1:1: cannot be read: Is a directory"):
        load_snapshot(tmp_path)


def test_a_team_file_with_the_wrong_ending_is_named(tmp_path: Path):
    write_tree(tmp_path)
    (tmp_path / "teams" / "ops.yml").write_text("team: ops\n")
    with pytest.raises(PolicyError, match=r"^teams/ops\.yml:1:1: unknown policy file"):
        load_snapshot(tmp_path)


def test_the_problems_of_all_files_are_reported_together_in_order(tmp_path: Path):
    write_tree(
        tmp_path,
        org="limits: {zzz: 1}\norg: 1\norg: 2\n",
        models="models: 5\n",
        teams__web="team: my team\nblocked: 3\n",
    )
    with pytest.raises(PolicyError) as caught:
        load_snapshot(tmp_path)
    assert [(each.file, each.line) for each in caught.value.problems] == [
        ("models.yaml", 1),
        ("org.yaml", 1),
        ("org.yaml", 3),
        ("teams/web.yaml", 1),
        ("teams/web.yaml", 2),
    ]


def test_the_problems_between_files_are_reported_together(tmp_path: Path):
    write_tree(
        tmp_path,
        org="limits: {monthly_spend_usd: 5}\n",
        models="""\
            models:
              a: {provider: nobody, model: x}
              b: {provider: openai, model: no-such-model}
            """,
        teams__web="team: web\nallowed_models: [c]\ndenied_models: [d]\n",
    )
    with pytest.raises(PolicyError) as caught:
        load_snapshot(tmp_path)
    places = [(each.file, each.line, each.message.split("'")[1]) for each in caught.value.problems]
    assert places == [
        ("models.yaml", 2, "nobody"),
        ("models.yaml", 3, "b"),
        ("teams/web.yaml", 2, "c"),
        ("teams/web.yaml", 3, "d"),
    ]


SECRET = "sk-live-aVerySecretKey0123456789"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("providers", provider(secret=SECRET)),
        ("providers", provider(secret=f"[{SECRET}]")),
        ("providers", provider(secret=f"{{a: {SECRET}}}")),
        ("providers", provider(url=f"https://{SECRET}@a.example/v1")),
        ("providers", provider(secret=f"'{SECRET}")),
        ("providers", provider(secret=f"${{{SECRET}}}")),
        ("teams__web", KEYS + f"    - {{id: a, sha256: {SECRET}}}\n"),
        ("teams__web", KEYS + f"    - {{id: {SECRET}, sha256: {SHA256}}}\n"),
        ("teams__web", KEYS + f"    - {{id: a, sha256: {SHA256}, expires: {SECRET}}}\n"),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_repeated(name: str, text: str, tmp_path: Path):
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, **{name: text}))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.problems)


def test_a_hash_used_twice_is_not_repeated_in_full(tmp_path: Path):
    again = KEYS.replace("web", "ops") + f"    - {{id: b, sha256: {SHA256}}}\n"
    with pytest.raises(PolicyError) as caught:
        load_snapshot(write_tree(tmp_path, teams__ops=again))
    assert SHA256 not in str(caught.value)


def test_backups_and_hidden_files_are_not_policy(tmp_path: Path):
    write_tree(tmp_path)
    clean = load_snapshot(tmp_path)
    for name in (".#web.yaml", "#web.yaml#", "web.yaml~", ".web.yaml.swp", "README.md", ".x.yaml"):
        (tmp_path / "teams" / name).write_text("not: [policy")
        (tmp_path / name).write_text("not: [policy")
    assert load_snapshot(tmp_path) == clean


def test_the_smallest_tree_of_the_tests_is_good(tmp_path: Path):
    assert set(load_snapshot(write_tree(tmp_path)).aliases) == {"small"}
    assert set(TREE) >= {"providers.yaml", "models.yaml"}


GOOD_BUT = "team: web\nallowed_models: [smal]\nenvironments: {prod: {}}\n"


@pytest.mark.parametrize(
    ("broken", "left"),
    [
        ("providers", ["unknown model 'smal'", "unknown environment 'prod'"]),
        ("models", ["unknown environment 'prod'"]),
        ("org", ["unknown model 'smal'"]),
        ("teams__ops", ["unknown model 'smal'", "unknown environment 'prod'"]),
    ],
)
def test_a_broken_file_hides_nothing_of_the_others_and_nothing_is_said_of_what_needs_it(
    broken: str, left: list[str], tmp_path: Path
):
    keys = "team: ops\nproject: site\nkeys: []\n"
    teams = {} if broken == "teams__ops" else {"teams__ops": "team: ops\nprojects: {site: {}}\n"}
    write_tree(tmp_path, teams__web=GOOD_BUT, keys__ops=keys, **teams, **{broken: "x: [\n"})
    with pytest.raises(PolicyError) as caught:
        load_snapshot(tmp_path)
    name = f"{broken.replace('__', '/')}.yaml"
    others = [each.message for each in caught.value.problems if each.file != name]
    assert [message.split(":")[0] for message in others] == left
    assert len(caught.value.problems) == len(left) + 1
