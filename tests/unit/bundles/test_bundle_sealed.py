"""A bundle is taken whole, as it was signed, by a key that is known; or not at all."""

import base64
from pathlib import Path

import pytest

from tests.unit.bundles.builders import KEY, OTHER_KEY, header, policy, sealed
from tollhouse.bundles.errors import BundleRefused
from tollhouse.bundles.sealed import FORMAT, peek, unseal


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    return sealed(policy(tmp_path))


def refusal(content: bytes, *keys: object) -> str:
    with pytest.raises(BundleRefused) as refused:
        unseal(content, [KEY.public])
    return str(refused.value)


def signed_again(content: bytes) -> bytes:
    """With a good signature over whatever it says now."""
    first, _, rest = content.split(b"\n", 2)
    return b"\n".join((first, base64.b64encode(KEY.sign(first + b"\n" + rest)), rest))


def test_a_signed_bundle_opens_to_what_was_sealed(good: bytes, tmp_path: Path) -> None:
    bundle = unseal(good, [KEY.public])
    assert (bundle.header, bundle.serial) == (header(17), 17)
    assert bundle.snapshot == policy(tmp_path)
    assert bundle.sealed == good
    assert peek(good) == header(17)


def test_a_bundle_with_any_byte_changed_is_refused(good: bytes) -> None:
    for at in range(len(good)):
        for bit in (0x01, 0x80):
            changed = bytearray(good)
            changed[at] ^= bit
            assert refusal(bytes(changed))


def test_another_spelling_of_the_same_signature_is_refused(good: bytes) -> None:
    first, signature, rest = good.split(b"\n", 2)
    # The last letter before == has four bits that decode to nothing.
    respelled = signature[:-3] + bytes([signature[-3] + 1]) + signature[-2:]
    assert base64.b64decode(respelled) == base64.b64decode(signature)
    assert refusal(b"\n".join((first, respelled, rest))) == "its signature cannot be read"


def test_a_bundle_cut_short_anywhere_is_refused(good: bytes) -> None:
    for length in range(len(good)):
        assert refusal(good[:length])


def test_bytes_after_the_end_are_refused(good: bytes) -> None:
    said = f"its bytes are not those that key {KEY.public.id} signed: publish it again"
    assert refusal(good + b"\0") == said


def test_a_bundle_of_another_key_is_refused_and_both_keys_are_named(tmp_path: Path) -> None:
    said = refusal(sealed(policy(tmp_path), key=OTHER_KEY))
    assert said == (
        f"it is signed by key {OTHER_KEY.public.id}, and the public keys given here are "
        f"{KEY.public.id}"
    )


def test_the_signature_of_another_bundle_is_refused(good: bytes, tmp_path: Path) -> None:
    other = sealed(policy(tmp_path, "other"), 18)
    lines = good.split(b"\n", 2)
    swapped = b"\n".join((lines[0], other.split(b"\n", 2)[1], lines[2]))
    assert "its bytes are not those that key" in refusal(swapped)


def test_a_serial_written_over_is_refused(good: bytes) -> None:
    raised = good.replace(b'"serial":17', b'"serial":99')
    assert raised != good
    assert "its bytes are not those that key" in refusal(raised)


def test_while_the_signing_key_is_rotated_both_are_good(tmp_path: Path) -> None:
    both = [KEY.public, OTHER_KEY.public]
    for key in (KEY, OTHER_KEY):
        assert unseal(sealed(policy(tmp_path), key=key), both).header.key == key.public.id


def test_a_newer_form_is_refused_with_what_to_upgrade(good: bytes) -> None:
    newer = signed_again(good.replace(b"bundle 1\n", b"bundle 2\n", 1))
    said = f"it has form 2, and this tollhouse reads up to {FORMAT}: upgrade this one"
    assert refusal(newer) == said


def test_signed_content_that_is_not_understood_says_which_to_upgrade(good: bytes) -> None:
    first, signature, rest = good.split(b"\n", 2)
    head = rest.split(b"\n", 1)[0]
    said = refusal(signed_again(b"\n".join((first, signature, head, b"not zlib"))))
    assert said.startswith("it was written by a tollhouse that this one does not understand")
    assert said.endswith("upgrade this one, or publish with its version")


@pytest.mark.parametrize("content", [b"", b"{}", b"a\nb\nc", b"tollhouse-policy-bundle x\n\n"])
def test_what_is_no_bundle_is_refused(content: bytes) -> None:
    assert refusal(content) == "it is not a policy bundle, or was cut short"


def test_a_header_that_names_a_strange_key_is_not_repeated(good: bytes) -> None:
    strange = good.replace(KEY.public.id.encode(), b"\\u001b[2J\\n\\n")
    assert "it is signed by key unknown" in refusal(strange)
