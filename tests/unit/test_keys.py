"""Keys carry a checksum; only their hash is stored."""

import hashlib
import re
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollhouse import keys
from tollhouse.demo import DEMO_HASHES, DEMO_KEYS

bodies = st.text(alphabet=keys._ALPHABET, min_size=32, max_size=32)


def test_a_generated_key_has_the_documented_form_and_no_two_are_equal():
    made = {keys.generate() for _ in range(100)}
    assert len(made) == 100
    assert all(re.fullmatch(r"tlh_[0-9A-Za-z]{38}", key) for key in made)
    assert all(keys.looks_valid(key) for key in made)


def test_the_checksum_is_the_crc32_of_the_random_part_in_base62():
    number = 0
    for digit in keys.with_checksum("0" * 32)[-6:]:
        number = number * 62 + keys._ALPHABET.index(digit)
    assert number == zlib.crc32(b"0" * 32)


@given(bodies, st.integers(4, 41), st.sampled_from(keys._ALPHABET))
def test_one_mistyped_character_is_noticed(body: str, position: int, typed: str):
    key = keys.with_checksum(body)
    mistyped = key[:position] + typed + key[position + 1 :]
    assert keys.looks_valid(mistyped) == (mistyped == key)


@pytest.mark.parametrize(
    "key", ["", "tlh_", "sk-proj-abc", "TLH_" + "0" * 38, keys.with_checksum("0" * 31)]
)
def test_other_forms_of_key_do_not_look_valid(key: str):
    assert not keys.looks_valid(key)


def test_characters_after_the_checksum_make_a_key_invalid():
    assert not keys.looks_valid(keys.generate() + "\n")


def test_a_key_is_stored_as_the_sha256_of_its_utf8_bytes():
    assert keys.sha256_hex("sk-é") == hashlib.sha256("sk-é".encode()).hexdigest()


def test_a_key_of_undecodable_bytes_can_still_be_looked_up():
    key = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert keys.sha256_hex(key) == hashlib.sha256(b"\xff\xfe").hexdigest()


def test_demo_keys_are_recognisable_valid_keys():
    for key in DEMO_KEYS.values():
        assert key.startswith("tlh_demo")
        assert keys.looks_valid(key)
        assert keys.sha256_hex(key) in DEMO_HASHES


def test_the_scanner_rule_of_the_docs_finds_keys_where_they_leak_and_the_checksum_sorts_them():
    page = (Path(__file__).resolve().parents[2] / "docs/keys.md").read_text()
    (documented,) = re.findall(r"^regex = '''(.+)'''$", page, re.MULTILINE)
    rule = re.compile(documented)
    for key in (keys.generate() for _ in range(50)):
        for text in (key, f'API_KEY="{key}"', f"Bearer {key}\n", f"https://x/?key={key}&y=1"):
            assert rule.findall(text) == [key]
        typed = key[:10] + ("a" if key[10] != "a" else "b") + key[11:]
        assert rule.findall(typed) == [typed]
        assert not keys.looks_valid(typed)
        assert rule.findall(f"{key}x") == rule.findall(f"x{key}") == []
