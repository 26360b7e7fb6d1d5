"""What is hidden before it reaches the audit log."""

from __future__ import annotations

import json
import math
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.audit.redact import Redaction
from tollhouse import keys

KEY = keys.with_checksum("0" * 32)
TOKEN = KEY.replace("tlh_", "tlm_")
DIGEST = keys.sha256_hex(KEY)
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"

SECRETS = {
    "a key": KEY,
    "a management token": TOKEN,
    "OpenAI's key": "sk-proj-abcDEF_123-456",
    "Anthropic's key": "sk-ant-api03-abc",
    "the beginning of a key": "tlh_ab",
    "a JWT": JWT,
}


def redacted(value: Any) -> Any:
    return Redaction().value(value)


# Texts that look secret, under any name


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("text", ["{}", "see {}", "({})", '"{}"', "a={}&b=1", "x/{}/y", "é{}é"])
def test_what_looks_like_a_secret_is_hidden_wherever_it_is_in_a_text(
    secret: str, text: str
) -> None:
    shown = redacted({"note": text.format(secret)})["note"]
    assert secret not in shown
    assert "hidden#1" in shown


@pytest.mark.parametrize("secret", [*SECRETS.values(), DIGEST])
def test_what_looks_like_a_secret_is_hidden_in_a_name_too(secret: str) -> None:
    assert secret not in json.dumps(redacted({"previous": {secret: "2030-01-01"}}))


@pytest.mark.parametrize("secret", [*SECRETS.values(), DIGEST])
def test_what_looks_like_a_secret_is_hidden_deep_inside(secret: str) -> None:
    assert secret not in json.dumps(redacted({"a": [{"b": [[secret]]}, (secret,)]}))


@pytest.mark.parametrize(
    "text",
    [
        "web-1",
        "risk-team",
        "task-1",
        "desk-ai",
        "marketing-website-prod-1",
        "gpt4_limited",
        "tag:cheap",
        "https://api.openai.com/v1",
        "bba6d432694b",
        "98b46c24-8b0d-49d7-9d0d-b4cebabe6b91",
        "2030-12-31T00:00:00Z",
        "eyJ",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redacted({"note": text}) == {"note": text}


def test_a_password_in_a_url_is_hidden_and_its_host_stays() -> None:
    shown = redacted("redis://user:pa55@redis.internal:6379/0")
    assert shown == "redis://hidden#1@redis.internal:6379/0"


def test_the_address_of_a_slack_webhook_is_hidden() -> None:
    assert "B00/XyZ" not in redacted("posts to https://hooks.slack.com/services/T00/B00/XyZ now")


def test_a_bearer_token_of_any_form_is_hidden() -> None:
    assert redacted("authorization: Bearer legacy-9") == "authorization: Bearer hidden#1"


def test_of_a_sha256_four_digits_stay() -> None:
    assert redacted({"note": f"sha256 {DIGEST}."}) == {"note": f"sha256 sha256:{DIGEST[:4]}…#1."}


def test_a_longer_run_of_hex_digits_is_no_sha256() -> None:
    assert redacted("a" * 65) == "a" * 65


# Names


@pytest.mark.parametrize(
    "name",
    [
        *("api_key", "apiKey", "API_KEY", "api-key", "apikey", "key", "openai_api_key"),
        *("sha256", "secret", "client_secret", "clientSecret", "secrets", "client_secret_file"),
        *("token", "id_token", "accessToken", "password", "passwords", "passwd", "passphrase"),
        *("webhook", "webhook_url", "webhooks", "cookie", "cookies", "authorization"),
        *("credential", "credentials", "jwt", "hash", "previous_hash"),
    ],
)
def test_whatever_is_under_a_secret_name_is_hidden(name: str) -> None:
    for value in ("plain", 1234, 12.5, ["plain"], {"deep": ["plain"]}, {"plain": {"x": "plain"}}):
        shown = json.dumps(redacted({name: value}).popitem()[1])
        assert '"plain"' not in shown.replace('"plain":', "")
        assert "12" not in shown
        assert "hidden#1" in shown


@pytest.mark.parametrize(
    "name",
    [
        *("key_id", "token_endpoint", "tokens_per_minute", "max_tokens", "input_tokens", "keys"),
        *("allowed_models", "owner", "monkey", "tokenizer", "secretary", "monthly_spend_usd"),
        *("hashed", "keyboard", "", "-", "é"),
    ],
)
def test_names_that_only_resemble_secret_ones_keep_their_values(name: str) -> None:
    assert redacted({name: "plain"}) == {name: "plain"}


@pytest.mark.parametrize("name", ["tokens", "api_keys", "apikeys", "Tokens"])
def test_in_a_list_of_secrets_texts_are_hidden_and_objects_show_their_harmless_members(
    name: str,
) -> None:
    shown = redacted({name: ["plain", {"id": "ci", "token": "plain"}, 12]})
    assert shown == {name: ["hidden#1", {"id": "ci", "token": "hidden#1"}, 12]}


@pytest.mark.parametrize("value", [None, True, False])
def test_whether_there_is_a_secret_stays_to_be_seen(value: bool | None) -> None:
    assert redacted({"webhook": value}) == {"webhook": value}


def test_how_many_secrets_there_are_stays_to_be_seen() -> None:
    assert redacted({"secrets": ["a", "b", "a"]}) == {
        "secrets": ["hidden#1", "hidden#2", "hidden#1"]
    }


# Changed or not


def test_before_and_after_show_that_a_secret_changed() -> None:
    redaction = Redaction()
    assert redaction.value({"webhook": "https://a.example"}) == {"webhook": "hidden#1"}
    assert redaction.value({"webhook": "https://b.example"}) == {"webhook": "hidden#2"}


def test_before_and_after_show_that_a_secret_did_not_change() -> None:
    redaction = Redaction()
    assert redaction.value({"sha256": DIGEST}) == redaction.value({"sha256": DIGEST})


def test_two_digests_with_the_same_four_digits_are_told_apart() -> None:
    redaction = Redaction()
    assert redaction.text("a" * 64) != redaction.text("a" * 63 + "b")


def test_the_marker_of_a_weak_password_says_nothing_of_it() -> None:
    assert redacted({"password": "123456"}) == redacted({"password": "letmein"})


# Other values


def test_what_json_has_no_word_for_becomes_text() -> None:
    shown = redacted({"expires": date(2030, 1, 1), "usd": Decimal("1.5"), "x": math.inf})
    assert shown == {"expires": "2030-01-01", "usd": "1.5", "x": "inf"}


def test_an_object_whose_text_has_a_secret_in_it_is_read_too() -> None:
    assert KEY not in redacted({"note": ValueError(f"no key {KEY}")})["note"]


def test_the_value_that_is_given_stays_as_it_is() -> None:
    given_value = {"token": "abc", "a": [KEY]}
    redacted(given_value)
    assert given_value == {"token": "abc", "a": [KEY]}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(JSON, st.sampled_from(sorted([*SECRETS.values(), DIGEST])), st.text(), st.text())
def test_no_secret_is_left_in_any_value(value: Any, secret: str, before: str, after: str) -> None:
    # A key is told by its beginning: what is glued in front of it would be another word.
    text = f"{before} {secret} {after}"
    shown = json.dumps(redacted([value, {"a": text, text: value}]), ensure_ascii=False)
    assert secret not in shown
