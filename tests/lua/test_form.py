"""envoy/lua/form.lua and multipart.lua: the facts of a form, and the forms that are refused."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lua.forms import (
    BOUNDARY,
    CONTENT_TYPE,
    Read,
    by_email,
    by_python_multipart,
    file,
    form,
    part,
    text,
)
from tests.lua.modules import Modules

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

SOUND = file("file", b"\x00\xff\r\n--x\r\n\r\nsound")
MODEL = text("model", "whisper")
AUDIO, EDITS = "audio/transcriptions", "images/edits"


def read(body: bytes, endpoint: str = AUDIO, content_type: str = CONTENT_TYPE) -> Any:
    """The facts, or (code, message)."""
    found = LUA.call("form", "read", body, content_type, endpoint)
    if isinstance(found, tuple):
        facts, code, message = found
        assert facts is None
        return code.decode(), message.decode()
    return found


def code_of(body: bytes, endpoint: str = AUDIO, content_type: str = CONTENT_TYPE) -> str | None:
    found = read(body, endpoint, content_type)
    return found[0] if isinstance(found, tuple) else None


def rewrite(body: bytes, facts: Any, model: str = "whisper-large-v3") -> bytes:
    rules = {"model": model, "include_usage": False, "defaults": {"temperature": "0.2"}}
    rewritten: bytes = LUA.call("splice", "rewrite", body, facts["spans"], rules)
    return rewritten


# What is told


def test_a_transcription_tells_its_model_and_the_bytes_of_its_sound() -> None:
    body = form(MODEL, text("prompt", "as before"), text("stream", "true"), SOUND)
    facts = read(body)
    first, last = facts.pop("spans")["model"]
    assert body[first - 1 : last] == b"whisper"
    assert facts == {
        "model": b"whisper",
        "stream": True,
        "n": 1,
        "text_bytes": len("whisper" + "as before" + "true"),
        "media_parts": 0,
        "audio_bytes": len(b"\x00\xff\r\n--x\r\n\r\nsound"),
    }


def test_an_edit_tells_its_pictures_their_number_and_the_variant() -> None:
    pictures = [file("image[]", b"a"), file("image[]", b"b"), file("mask", b"c")]
    fields = [text("n", "10"), text("quality", "high"), text("size", "1024x1536")]
    facts = read(form(*pictures, *fields, MODEL), EDITS)
    assert (facts["n"], facts["media_parts"]) == (10, 3)
    assert facts["image_variant"] == b"high 1024x1536"
    plain = read(form(MODEL, file("image", b"a")), EDITS)
    assert (plain["n"], plain["image_variant"]) == (1, b"default default")
    assert read(form(MODEL, text("size", "a b")), EDITS)["image_variant"] == b"default other"


def test_a_form_without_a_file_has_no_sound_to_bill() -> None:
    code, message = read(form(MODEL))
    assert (code, "`file`" in message) == ("invalid_body", True)


@pytest.mark.parametrize("name", ["url", "file_url", "audio_url", "file_id", "models", "fallbacks"])
def test_a_field_by_which_a_provider_fetches_more_is_unbounded(name: str) -> None:
    assert read(form(MODEL, text(name, "https://x")))["unbounded"].decode() == name
    assert "unbounded" not in read(form(MODEL, SOUND, text(name, "")))


def test_partial_images_are_unbounded() -> None:
    assert read(form(MODEL, text("partial_images", "2")), EDITS)["unbounded"] == b"partial_images"
    assert "unbounded" not in read(form(MODEL, text("partial_images", "0")), EDITS)


@pytest.mark.parametrize(
    ("field", "endpoint"),
    [
        (text("stream", "1"), AUDIO),
        (text("stream", "True"), AUDIO),
        (text("stream", ""), AUDIO),
        (text("n", "11"), EDITS),
        (text("n", "0"), EDITS),
        (text("n", "1.0"), EDITS),
        (text("n", " 1"), EDITS),
        (text("x", b"\xff"), AUDIO),
    ],
)
def test_a_wrong_value_is_refused(field: bytes, endpoint: str) -> None:
    assert code_of(form(MODEL, SOUND, field), endpoint) == "invalid_body"


@pytest.mark.parametrize(
    "fields", [[], [text("model", "")], [text("model", "a\n")], [text("model", "x" * 257)]]
)
def test_a_form_without_a_usable_model_says_so(fields: list[bytes]) -> None:
    code, message = read(form(SOUND, *fields))
    assert (code, "`model`" in message) == ("model_missing", True)


# Two readings


@pytest.mark.parametrize(
    "other",
    [
        text("model", "b"),
        text("model", "whisper"),
        text("Model", "b"),
        text("MODEL", "b"),
        text("model[]", "b"),
        text("model[0]", "b"),
        text("model[x]", "b"),
        file("model", b"b"),
        text("Stream", "true"),
        text("n[]", "2"),
        text("_charset_", "utf-16"),
        text("_charset_[]", "utf-16"),
        text("file", "sound"),
        file("File", b"b"),
        file("file", b"b"),
        file("file[]", b"b"),
        text("image", "https://x"),
        file("image[0]", b"b"),
        file("stream", b"true"),
    ],
)
def test_a_field_that_is_read_stands_there_once_plainly_and_of_its_kind(other: bytes) -> None:
    for parts in ((MODEL, SOUND, other), (other, MODEL, SOUND)):
        assert code_of(form(*parts)) == "ambiguous_body"


NAMED = 'form-data; name="model"'


@pytest.mark.parametrize(
    "headers",
    [
        "",
        "X: y",
        "Content-Type: text/plain",
        f"Content-Disposition : {NAMED}",
        f" Content-Disposition: {NAMED}",
        f"Content-Disposition: {NAMED}\nContent-Disposition: {NAMED}",
        f"Content-Disposition: {NAMED}\nX-Other: y",
        f"Content-Disposition: {NAMED}\nContent-Encoding: gzip",
        f"Content-Disposition: {NAMED}\n ; x=y",
        f"Content-Disposition: {NAMED};",
        f"Content-Disposition: {NAMED}; ",
        f"Content-Disposition: {NAMED}; x=y",
        f"Content-Disposition: {NAMED}; {NAMED}",
        f'Content-Disposition: {NAMED}; name="b"',
        f"Content-Disposition: {NAMED}; name*=utf-8''b",
        f"Content-Disposition: {NAMED}; filename*=utf-8''b",
        f'Content-Disposition: {NAMED}; filename=""',
        f'Content-Disposition: {NAMED}; filename="a;b"',
        f'Content-Disposition: {NAMED}; filename="a\\"; name=b',
        "Content-Disposition: form-data; name*=utf-8''model",
        'Content-Disposition: form-data; name*0="mo"; name*1="del"',
        'Content-Disposition: form-data; Name="model"',
        'Content-Disposition: form-data; name = "model"',
        'Content-Disposition: form-data; name="mod\\el"',
        'Content-Disposition: form-data; name="mod%65l"',
        'Content-Disposition: form-data; name="model\t"',
        'Content-Disposition: form-data; name=" model"',
        'Content-Disposition: form-data; name=""',
        "Content-Disposition: form-data; name='model'",
        'Content-Disposition: form-data, name="model"',
        'Content-Disposition: form-data; name="mödel"',
        'Content-Disposition: attachment; name="model"',
        "Content-Disposition: form-data",
        'Content-Disposition: =?utf-8?q?form-data?=; name="model"',
        f"Content-Disposition: {NAMED}\nContent-Transfer-Encoding: base64",
        f"Content-Disposition: {NAMED}\nContent-Transfer-Encoding: quoted-printable",
        f"Content-Disposition: {NAMED}\nContent-Type: multipart/mixed; boundary=b",
        f"Content-Disposition: {NAMED}\nContent-Type: message/rfc822",
        f"Content-Disposition: {NAMED}\nContent-Type: application/json",
        f"Content-Disposition: {NAMED}\nContent-Type: text/plain; charset=utf-16",
        f"Content-Disposition: {NAMED}\nContent-Type: text/plain; charset=utf-8; charset=utf-7",
        f"Content-Disposition: {NAMED}\nContent-Type: x",
        f'Content-Disposition: {NAMED}\nContent-Type: text/plain; name="a.mp3"',
        f"Content-Disposition: {NAMED}\nContent-Type: text/plain x",
        f"Content-Disposition: {NAMED}\nContent-Length: 3",
        f"Content-Disposition: {NAMED}\nContent-Length: x",
        f"Content-Disposition: {NAMED}\nX{'x' * 5000}: y",
    ],
)
def test_headers_of_a_part_that_could_be_read_in_two_ways_are_refused(headers: str) -> None:
    assert code_of(form(MODEL, SOUND, text("x", "y"))) is None
    assert code_of(form(part(headers, "whisper"), SOUND)) == "ambiguous_body"


@pytest.mark.parametrize(
    "headers",
    [
        f"Content-Disposition: {NAMED}",
        f"content-disposition:{NAMED}",
        f"CONTENT-DISPOSITION: {NAMED}",
        "Content-Disposition: form-data; name=model",
        f"Content-Type: text/plain; charset=utf-8\nContent-Disposition: {NAMED}",
        f'Content-Disposition: {NAMED}\nContent-Type: text/plain;charset="UTF-8"',
        f"Content-Disposition: {NAMED}\nContent-Type: text/plain; charset=ISO-8859-1\n"
        "Content-Transfer-Encoding: 8bit",
        f"Content-Disposition: {NAMED}\nContent-Length: 7",
    ],
)
def test_the_plain_spellings_of_real_clients_pass(headers: str) -> None:
    """.NET sends tokens, Apache's client a charset, older okhttp a length."""
    assert read(form(part(headers, "whisper"), SOUND))["model"] == b"whisper"


def test_a_model_in_another_charset_than_utf_8_must_be_ascii() -> None:
    headers = f"Content-Disposition: {NAMED}\nContent-Type: text/plain; charset=iso-8859-1"
    assert code_of(form(part(headers, "é"), SOUND)) == "ambiguous_body"
    assert code_of(form(text("model", b"\xe9"), SOUND)) == "ambiguous_body"
    assert read(form(text("model", "é"), SOUND))["model"].decode() == "é"


def test_a_file_may_have_any_plain_name() -> None:
    for name in ("a b.mp3", "ü.mp3", "%22.mp3", "a=b'c.mp3"):
        assert code_of(form(MODEL, file("file", b"x", filename=name))) is None
    browser = f'Content-Disposition: {NAMED}; filename="a"\nContent-Type: audio/webm;codecs=opus'
    assert read(form(MODEL, part(browser.replace("model", "file"), b"12")))["audio_bytes"] == 2
    dotnet = "Content-Disposition: form-data; name=file; filename=a.mp3; filename*=utf-8''a.mp3"
    assert read(form(MODEL, part(dotnet, b"12")))["audio_bytes"] == 2


GOOD = form(MODEL, SOUND)
LINE = f"--{BOUNDARY}".encode()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_body"),
        (b"\r\n" + GOOD, "invalid_body"),
        (b"preamble\r\n" + GOOD, "invalid_body"),
        (b'{"model":"a"}', "invalid_body"),
        (LINE, "ambiguous_body"),
        (LINE + b"\r\n", "ambiguous_body"),
        (LINE + b"x" + GOOD[len(LINE) :], "ambiguous_body"),
        (LINE + b" " + GOOD[len(LINE) :], "ambiguous_body"),
        (GOOD.replace(b"\r\n", b"\n"), "ambiguous_body"),
        (GOOD.replace(b'"model"\r\n', b'"model"\n'), "ambiguous_body"),
        (GOOD.replace(b'"\r\n\r\nwhisper', b'"\n\nwhisper'), "ambiguous_body"),
        (GOOD.replace(b"whisper\r\n", b"whisper\n"), "ambiguous_body"),
        (GOOD.replace(b"whisper\r\n", b"whisper\r"), "ambiguous_body"),
        (GOOD.replace(b"whisper\r\n", b"whisper\r\n" + LINE + b"x\r\n"), "ambiguous_body"),
        (GOOD.replace(b"sound", LINE), "ambiguous_body"),
        (GOOD.replace(b"sound", b"\n" + LINE + b"\n"), "ambiguous_body"),
        (GOOD.removesuffix(b"--\r\n"), "ambiguous_body"),
        (GOOD.removesuffix(LINE + b"--\r\n"), "ambiguous_body"),
        (GOOD + b"x", "ambiguous_body"),
        (GOOD + GOOD, "ambiguous_body"),
        (GOOD.replace(b"\r\n\r\nwhisper", b"whisper"), "ambiguous_body"),
        (form(b"", MODEL, SOUND), "ambiguous_body"),
        (LINE + b"--\r\n", "model_missing"),
    ],
)
def test_what_lies_around_the_parts_is_refused(body: bytes, code: str) -> None:
    assert code_of(body) == code


def test_the_last_line_end_may_be_missing() -> None:
    assert read(GOOD.removesuffix(b"\r\n"))["model"] == b"whisper"


def test_a_form_has_at_most_256_parts() -> None:
    assert code_of(form(MODEL, SOUND, *[text("x", "")] * 254)) is None
    assert code_of(form(MODEL, SOUND, *[text("x", "")] * 255)) == "invalid_body"


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        (CONTENT_TYPE, None),
        (f'Multipart/Form-Data ; Boundary="{BOUNDARY}"', None),
        (f"multipart/form-data; charset=utf-8; boundary={BOUNDARY}", None),
        (f"{CONTENT_TYPE}; boundary={BOUNDARY}", "ambiguous_body"),
        (f"{CONTENT_TYPE}, {CONTENT_TYPE}", "ambiguous_body"),
        (f"{CONTENT_TYPE}; charset=utf-16", "ambiguous_body"),
        (f"{CONTENT_TYPE};", "ambiguous_body"),
        (f"{CONTENT_TYPE}; x=y", "ambiguous_body"),
        (f"multipart/form-data; boundary*=utf-8''{BOUNDARY}", "ambiguous_body"),
        ("multipart/form-data; boundary*0=xYz; boundary*1=BoUnDaRy", "ambiguous_body"),
        (f'multipart/form-data; boundary="{BOUNDARY}\\"', "ambiguous_body"),
        (f"multipart/form-data; boundary='{BOUNDARY}'", "invalid_body"),
        (f"multipart/form-data; boundary={'x' * 71}", "ambiguous_body"),
        ("multipart/form-data; boundary=", "ambiguous_body"),
        ("multipart/form-data", "invalid_body"),
        (f"multipart/mixed; boundary={BOUNDARY}", "invalid_body"),
        (f"multipart/form-datax; boundary={BOUNDARY}", "invalid_body"),
        ("application/json", "invalid_body"),
        ("", "invalid_body"),
    ],
)
def test_the_boundary_is_named_once_and_plainly(content_type: str, code: str | None) -> None:
    assert code_of(GOOD, content_type=content_type) == code


def test_a_refusal_quotes_nothing_of_the_form() -> None:
    secret = b"s3cretprompt"
    for body in (
        form(text("model", secret + b"\n"), SOUND),
        form(MODEL, SOUND, text("stream", secret)),
        form(MODEL, SOUND, text("x", secret), text("model", secret)),
        form(part(f"{secret.decode()}: x", secret)),
        form(MODEL, SOUND) + secret,
        secret,
    ):
        _, message = read(body)
        assert secret.decode() not in message
        assert message.endswith((".", "…"))


# The rewritten form


def test_only_the_models_value_is_replaced_in_a_form() -> None:
    body = form(SOUND, text("prompt", "whisper"), MODEL, text("user", "whisper"))
    before, after = body.split(MODEL)
    rewritten = rewrite(body, read(body))
    assert rewritten == before + MODEL.replace(b"whisper", b"whisper-large-v3") + after


def test_a_stated_length_of_the_model_is_that_of_the_new_one() -> None:
    stated = part(f"Content-Disposition: {NAMED}\nContent-Length: 7", "whisper")
    body = form(SOUND, stated, text("prompt", "x"))
    rewritten = rewrite(body, read(body))
    assert rewritten == body.replace(b": 7\r\n\r\nwhisper", b": 16\r\n\r\nwhisper-large-v3")
    assert read(rewritten)["model"] == b"whisper-large-v3"


def test_a_providers_name_that_would_break_the_form_raises() -> None:
    with pytest.raises(Exception, match="control characters"):
        rewrite(GOOD, read(GOOD), model=f"x\r\n--{BOUNDARY}--")


# Other parsers


def reads(body: bytes, content_type: str = CONTENT_TYPE) -> list[Read]:
    found = [by_email(body, content_type), by_python_multipart(body, content_type)]
    return [each for each in found if each is not None]


def same(facts: Any, body: bytes, content_type: str = CONTENT_TYPE) -> None:
    """Asserts that other parsers see the model and the files that were told."""
    for each in reads(body, content_type):
        assert each.fields["model"] == [facts["model"]]
        assert "model" not in each.files
        sizes = [len(value) for values in each.files.values() for value in values]
        assert sum(sizes) == facts["audio_bytes"]
        texts = [len(value) for values in each.fields.values() for value in values]
        assert sum(texts) == facts["text_bytes"]


FIELD_NAMES = st.sampled_from(["prompt", "language", "timestamp_granularities[]", "x-y_z.1"])
WORDS = st.text(st.characters(exclude_categories=["C"]), max_size=9)
FIELD_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


@given(
    model=WORDS.filter(bool),
    fields=st.lists(st.tuples(FIELD_NAMES, FIELD_VALUES), unique_by=lambda pair: pair[0]),
    sound=st.binary(max_size=40),
    library=st.sampled_from(["httpx", "requests"]),
)
def test_what_http_libraries_send_is_read_as_it_was_meant_and_only_the_model_changes(
    model: str, fields: list[tuple[str, str]], sound: bytes, library: str
) -> None:
    data = {"model": model, **dict(fields)}
    files = {"file": ("speech.mp3", sound, "audio/mpeg")}
    if library == "httpx":
        sent = httpx.Request("POST", "http://x/", data=data, files=files)
        body, content_type = sent.read(), sent.headers["content-type"]
    else:
        prepared: Any = requests.Request("POST", "http://x/", data=data, files=files).prepare()
        body, content_type = prepared.body, prepared.headers["content-type"]
    facts = read(body, content_type=content_type)
    assert facts["model"].decode() == model
    assert facts["audio_bytes"] == len(sound)
    assert facts["text_bytes"] == sum(len(value.encode()) for value in data.values())
    first, last = facts["spans"]["model"]
    rewritten = rewrite(body, facts)
    assert rewritten == body[: first - 1] + b"whisper-large-v3" + body[last:]
    for each in reads(rewritten, content_type):
        assert each.fields.pop("model") == [b"whisper-large-v3"]
        assert each.files == {"file": [sound]}
        assert each.fields == {name: [value.encode()] for name, value in fields}


PIECES = [
    *(bytes([code]) for code in b'\r\n\t\0 :;="\\-*ab\xff'), b"\r\n", b"\r\n\r\n", b"\n\n", b"--",
    LINE, b"\r\n" + LINE, b"\n" + LINE, LINE + b"\r\n", LINE + b"--", LINE + b"--\r\n",
    b'Content-Disposition: form-data; name="model"', b'; name="model"', b"; name=model",
    b'; filename="b"', b"; filename*=utf-8''b", b"name", b"model", b"\r\nContent-Type: text/plain",
    b"\r\nContent-Transfer-Encoding: base64", b"Content-Length: 1", b"multipart/mixed",
    text("model", "b"),
]  # fmt: skip
SPOTS = st.integers(0, len(form(text("model", "a"), file("file", b"b"))))


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(SPOTS, st.integers(0, 4), st.sampled_from(PIECES)), max_size=4))
def test_a_broken_form_that_still_passes_is_one_that_others_read_alike(
    edits: list[tuple[int, int, bytes]],
) -> None:
    body = form(text("model", "a"), file("file", b"b"))
    for at, drop, piece in edits:
        body = body[:at] + piece + body[at + drop :]
    facts = read(body)
    if isinstance(facts, dict):
        same(facts, body)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12), st.lists(st.sampled_from(PIECES)))
def test_a_form_put_together_at_random_that_passes_is_one_that_others_read_alike(
    headers: list[bytes], value: list[bytes]
) -> None:
    body = form(
        b'Content-Disposition: form-data; name="x"' + b"".join([*headers, b"\r\n\r\n", *value]),
        text("model", "a"),
        file("file", b"b"),
    )
    facts = read(body)
    if isinstance(facts, dict):
        same(facts, body)


def test_a_large_form_is_read_and_rewritten_in_a_time_that_is_printed() -> None:
    body = form(MODEL, file("file", bytes(range(256)) * 4096 * 24))
    started = time.perf_counter()
    facts = read(body)
    scanned = time.perf_counter()
    rewritten = rewrite(body, facts)
    done = time.perf_counter()
    print(
        f"a form of {len(body) >> 20} MB: read in {(scanned - started) * 1e3:.1f} ms, "
        f"rewritten in {(done - scanned) * 1e3:.1f} ms"
    )
    assert len(rewritten) == len(body) + len("-large-v3")
