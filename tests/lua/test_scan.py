"""envoy/lua/scan.lua: the facts of a request body, and the bodies that are refused."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import SOURCE, Modules

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

UNBOUNDED = [
    "fallbacks",
    "models",
    "api_base",
    "content_policy_fallbacks",
    "context_window_fallbacks",
    "user_config",
    "audio",
    "best_of",
    "cached_content",
    "chat_template",
    "chat_template_kwargs",
    "data_sources",
    "deferred",
    "enable_search",
    "extra_body",
    "mm_processor_kwargs",
    "preset",
    "safety_model",
    "plugins",
    "provider",
    "search_parameters",
    "web_search_options",
]
OF_ENDPOINT = [
    "background",
    "container",
    "conversation",
    "inference_geo",
    "mcp_servers",
    "partial_images",
    "prompt",
    "prompt_embeds",
    "speed",
]
OTHER_MODELS = tuple(UNBOUNDED[:6])
CAPS = ["max_tokens", "max_completion_tokens", "max_output_tokens"]

GOVERNED = [
    "model",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "tools",
    "functions",
    "prediction",
    "service_tier",
    "modalities",
    "documents",
    "input",
    "previous_response_id",
    "quality",
    "size",
    "suffix",
    "top_n",
    "context_management",
    *OF_ENDPOINT,
    *UNBOUNDED,
]


def scan(body: str | bytes, endpoint: str = "chat/completions") -> Any:
    """The facts, or (code, message)."""
    sent = body.encode() if isinstance(body, str) else body
    result = LUA.call("scan", "read", sent, endpoint)
    if isinstance(result, tuple):
        facts, code, message = result
        assert facts is None
        return code.decode(), message.decode()
    return result


def code_of(body: str | bytes, endpoint: str = "chat/completions") -> str | None:
    found = scan(body, endpoint)
    return found[0] if isinstance(found, tuple) else None


def with_member(member: str) -> str:
    return '{"model":"m",' + member + "}"


def test_a_plain_chat_gives_its_facts() -> None:
    body = (
        '{"model":"gpt","stream":true,"n":3,"max_tokens":100,"messages":[],'
        '"stream_options":{"include_usage":true}}'
    )
    facts = scan(body)
    spans = facts.pop("spans")
    assert facts == {
        "model": b"gpt",
        "stream": True,
        "include_usage": True,
        "n": 3,
        "max_tokens": 100,
        "text_bytes": len(body),
        "media_parts": 0,
        "tools": False,
        "prediction": False,
        "cache_control": False,
        "service_tier": b"none",
    }
    assert {name: body[first - 1 : last] for name, (first, last) in spans.items()} == {
        "model": '"gpt"',
        "stream": "true",
        "n": "3",
        "max_tokens": "100",
        "messages": "[]",
        "stream_options": '{"include_usage":true}',
        "stream_options.include_usage": "true",
    }


def test_what_the_client_leaves_out_or_sets_to_null_has_its_default() -> None:
    nulls = ",".join(f'"{name}":null' for name in GOVERNED[1:])
    for body in ('{"model":"m"}', with_member(nulls)):
        facts = scan(body)
        assert (facts["stream"], facts["include_usage"], facts["n"]) == (False, False, 1)
        assert (facts["tools"], facts["prediction"]) == (False, False)
        assert not {"max_tokens", "unbounded"} & set(facts)


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", "{", '{"model":"m"', '{"model":"m"}}', "\ufeff{}"]
)
def test_a_body_that_is_not_one_json_object_is_invalid(body: str) -> None:
    assert code_of(body) == "invalid_body"


def test_a_body_with_more_than_256_parameters_is_invalid() -> None:
    def body(count: int) -> str:
        return with_member(",".join(f'"p{number}":0' for number in range(count - 1)))

    assert code_of(body(256)) is None
    assert code_of(body(257)) == "invalid_body"


def test_a_parameter_name_beyond_256_bytes_is_invalid() -> None:
    assert code_of(with_member(f'"{"x" * 256}":1')) is None
    assert code_of(with_member(f'"{"x" * 257}":1')) == "invalid_body"


def test_a_parameter_name_that_is_not_utf_8_is_invalid() -> None:
    for name in (b"\xff", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x80"):
        assert code_of(b'{"model":"m","' + name + b'":1}') == "invalid_body"
    assert code_of(with_member('"\x7f é ߿ ࠀ 漢 \ue000 😀 \U0010ffff":1')) is None


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"a","model":"b"}',
        '{"model":"a","model":"a"}',
        '{"model":"a","x":1,"x":1}',
        r'{"model":"a","x":1,"\u0078":1}',
        r'{"model":"a","mod\u0065l":"b"}',
        '{"model":"a","stream_options":{"include_usage":true,"include_usage":true}}',
        r'{"model":"a","stream_options":{"include_us\u0061ge":true}}',
        '{"model":"a","stream_options":{"Include_Usage":true}}',
        '{"model":"a","Model":"b"}',
        '{"model":"a","MODEL":"b"}',
        '{"MODEL":"b"}',
        '{"model":"a","\u017ftream":true}',
        '{"model":"a","max_to\u212aens":1}',
        r'{"model":"a","max_to\u212aens":1}',
        r'{"model":"a","model\u0000":"b"}',
        r'{"model":"a","MODEL\u0000x":"b"}',
    ],
)
def test_a_body_that_two_parsers_could_read_differently_is_ambiguous(body: str) -> None:
    assert code_of(body) == "ambiguous_body"


@pytest.mark.parametrize("name", GOVERNED)
def test_every_governed_name_must_be_spelled_plainly(name: str) -> None:
    rest = '"model":"m"' if name != "model" else '"other":1'
    for spelling in (f"\\u{ord(name[0]):04x}{name[1:]}", name.upper(), name.title()):
        if spelling != name:
            assert code_of(f'{{"{spelling}":null,{rest}}}') == "ambiguous_body"


def test_names_that_only_resemble_governed_ones_pass() -> None:
    facts = scan(
        r'{"model":"m","models":1,"mode":2,"\u0065xtra":3,"nn":4,"max_token":5,"model ":6}'
    )
    assert "extra" in facts["spans"]
    assert len(facts["spans"]) == 7


def test_governed_names_below_the_top_level_mean_nothing() -> None:
    body = with_member(
        '"tools":[{"Model":1,"model":2,"model":3,"stream":"x","n":{"max_tokens":-1}}],'
        '"metadata":{"include_usage":true}'
    )
    facts = scan(body)
    assert (facts["model"], facts["include_usage"], facts["n"]) == (b"m", False, 1)


def test_a_top_level_name_cannot_pose_as_the_nested_include_usage() -> None:
    facts = scan(with_member('"stream_options.include_usage":true'))
    assert facts["include_usage"] is False
    assert "stream_options.include_usage" not in facts["spans"]


@pytest.mark.parametrize(
    "body",
    ["{}", '{"messages":[]}']
    + [
        f'{{"model":{value}}}'
        for value in (
            "null",
            "1",
            "[]",
            '{"model":"m"}',
            '""',
            r'"a\n"',
            r'"\u0000"',
            r'"\u007f"',
            r'"\ud800"',
            '"' + "x" * 257 + '"',
            '"' + r"\n" * 1_000_000 + '"',
        )
    ],
)
def test_a_body_without_a_usable_model_name_says_so(body: str) -> None:
    code, message = scan(body)
    assert code == "model_missing"
    assert "`model`" in message


def test_a_model_name_that_is_not_utf_8_is_refused() -> None:
    assert code_of(b'{"model":"a\xff"}') == "invalid_body"


def test_text_that_is_not_utf_8_is_refused_because_a_provider_may_read_more_of_it() -> None:
    """Python's decoder replaces one bad byte by U+FFFD, which is three."""
    for text in (b"\xff", b"abcd\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80"):
        assert code_of(b'{"model":"m","messages":[{"content":"' + text + b'"}]}') == "invalid_body"


@given(st.text())
def test_all_text_that_is_utf_8_passes(text: str) -> None:
    body = json.dumps({"model": "m", "input": text}, ensure_ascii=False)
    if text.isascii() or body.encode("utf-8", "surrogatepass").decode("utf-8", "replace") == body:
        assert code_of(body) is None


def test_a_model_value_spelled_with_escapes_is_decoded() -> None:
    assert scan(r'{"model":"gpt\u002d4\/\u00e9"}')["model"] == "gpt-4/é".encode()
    assert scan('{"model":"' + r"\u0061" * 256 + '"}')["model"] == b"a" * 256


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        ("stream", ["1", '"true"', "[]", "{}"]),
        ("stream_options", ["true", "[]", '""', "0"]),
        ("stream_options.include_usage", ["1", '"true"', "{}"]),
        ("n", ["0", "-1", "1.5", "129", '"1"', "true", "1e400"]),
        ("max_tokens", ["-1", "0.5", '"5"', "true", "[1]", "1e400", "9007199254740994"]),
        ("max_completion_tokens", ["-1", "{}"]),
        ("max_output_tokens", ["-1", "false"]),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_parameter(
    parameter: str, values: list[str]
) -> None:
    for value in values:
        if parameter == "stream_options.include_usage":
            member = f'"stream_options":{{"include_usage":{value}}}'
        else:
            member = f'"{parameter}":{value}'
        code, message = scan(with_member(member))
        assert code == "invalid_body"
        assert f"`{parameter}`" in message


def test_numbers_count_in_any_legal_spelling() -> None:
    assert scan(with_member('"max_tokens":1e3,"n":2.0'))["max_tokens"] == 1000
    assert scan(with_member('"max_tokens":1e3,"n":2.0'))["n"] == 2


def test_a_cap_of_zero_is_refused_because_some_providers_take_it_for_none() -> None:
    for name in CAPS:
        assert code_of(with_member(f'"{name}":0')) == "invalid_body"


def test_the_largest_values_allowed_pass() -> None:
    assert scan(with_member('"n":128'))["n"] == 128
    assert scan(with_member('"max_tokens":9007199254740992'))["max_tokens"] == 2**53


def test_the_largest_of_the_token_caps_counts() -> None:
    assert (
        scan(with_member('"max_tokens":5,"max_completion_tokens":70,"max_output_tokens":6'))[
            "max_tokens"
        ]
        == 70
    )
    assert scan(with_member('"max_tokens":null,"max_output_tokens":6'))["max_tokens"] == 6


def test_media_parts_are_counted_by_their_keys_at_any_depth_in_any_spelling() -> None:
    body = with_member(
        '"image_url":1,"messages":[{"content":[{"image_url":{"url":"x"}},{"file":{}},'
        r'{"input_audio":[{"input_image":""}]},{"im\u0061ge_url":1,"FILE":2}]}]'
    )
    assert scan(body)["media_parts"] == 7


def test_what_is_written_out_in_a_data_url_can_be_read_and_is_text() -> None:
    body = with_member('"messages":[{"image_url":"data:image/lorem ipsum dolor sit amet"}]')
    assert scan(body)["text_bytes"] == len(body)


@pytest.mark.parametrize(
    "part",
    [
        '{"type":"file","file_id":"x"}',
        '{"type":"file","file":{"file_id":"x"}}',
        '{"type":"file","file":{"file_data":"x","filename":"y"}}',
        '{"type":"image","image":"https://x"}',
        '{"type":"document_url","document_url":"https://x"}',
        '{"type":"video_url","video_url":{"url":"https://x"}}',
        '{"type":"input_file","file_url":"https://x"}',
        '{"role":"assistant","audio":{"id":"audio_1"}}',
    ],
)
def test_one_part_is_one_however_it_is_spelled(part: str) -> None:
    assert scan(with_member(f'"messages":[{{"content":[{part}]}}]'))["media_parts"] == 1


def test_every_frame_of_a_film_counts() -> None:
    body = with_member('"messages":[{"content":[{"video":["a","b",{"url":"c"}]},{"video":[]}]}]')
    assert scan(body)["media_parts"] == 4


def test_properties_of_a_schema_are_no_media_and_hide_no_text() -> None:
    schema = '{"properties":{"file":{"url":"data:image/png;base64,x"},"image_url":{}}}'
    for name in ("tools", "functions", "response_format", "metadata"):
        body = with_member(f'"{name}":[{schema}],"messages":[{{"image_url":""}}]')
        facts = scan(body)
        assert (facts["media_parts"], facts["text_bytes"]) == (1, len(body))


def test_media_names_as_values_and_longer_names_are_no_media() -> None:
    body = with_member('"messages":["file","image_url",{"type":"input_audio","files":1,"fil":2}]')
    assert scan(body)["media_parts"] == 0


@pytest.mark.parametrize(
    "part",
    [
        '{"image_url":"%s"}',
        '{"image_url":{"url":"%s"}}',
        '{"image_url": {"detail": "low", "x": {"y": [1]}, "url": "%s"} }',
        '{"type":"tool_use","input":{"a":1}},{"image_url":{"url":"%s"}}',
    ],
)
def test_the_bytes_of_a_data_url_in_a_media_part_are_not_text(part: str) -> None:
    media = "data:image/png;base64," + "QUJD" * 1000
    body = with_member('"messages":[{"content":[' + part % media + "]}]")
    assert scan(body)["text_bytes"] == len(body) - len(media)


@pytest.mark.parametrize(
    "member",
    [
        '"messages":[{"role":"user","content":"%s"}]',
        '"input":["%s"]',
        '"messages":[{"content":[{"file":{"filename":"a.pdf","file_data":"%s"}}]}]',
        '"messages":[{"content":[{"type":"tool_use","input":{"image":"%s"}}]}]',
        '"messages":[{"content":[{"type":"tool_use","input":{"a":[{"b":{"image_url":"%s"}}]}}]}]',
        '"input":[{"type":"local_shell_call","action":{"env":{"image":"%s"}}}]',
        '"input":[{"\\u0061ction":{"video":"%s"}}]',
        '"messages":[{"content":[{"image_url":["%s"]}]}]',
        '"messages":[{"content":[{"image_url":{"x":{"url":"%s"}}}]}]',
        '"messages":[{"content":[{"image_url":"http://x","text":"%s"}]}]',
        '"messages":[{"content":[{"image_url":"x%s"}]}]',
        '"messages":[{"content":[{"image_url":"at:%s"}]}]',
        '"messages":[{"content":[{"image_url":"dat:%s"}]}]',
        '"messages":[{"content":[{"image_url":"Xata:%s"}]}]',
        '"messages":[{"content":[{"image_url":"daXX:%s"}]}]',
        '"messages":[{"content":[{"image_url":"datab%s"}]}]',
        '"messages":[{"content":[{"file":{"filename":"%s"}}]}]',
        '"messages":[{"content":[{"image_url":{"detail":"%s"}}]}]',
        '"messages":[{"content":[{"image_url":{"url":{"url":"%s"}}}]}]',
    ],
)
def test_text_cannot_hide_from_the_count_behind_a_data_prefix(member: str) -> None:
    body = with_member(member % "data:image/png;base64,a very long prompt")
    assert scan(body)["text_bytes"] == len(body)


def test_a_data_prefix_without_a_picture_is_text_in_a_part_too() -> None:
    for text in ("data: a very long prompt", "data:text/plain,a prompt", "data:imagex/"):
        body = with_member(f'"messages":[{{"content":[{{"image_url":{{"url":"{text}"}}}}]}}]')
        assert scan(body)["text_bytes"] == len(body)


@pytest.mark.parametrize("kind", ["application/pdf", "text/plain", "application/json", "x"])
def test_a_document_is_a_part_and_text_too(kind: str) -> None:
    file = f'{{"file":{{"file_data":"data:{kind};base64,QUJDREVGR0g="}}}}'
    body = with_member(f'"messages":[{{"content":[{file}]}}]')
    facts = scan(body)
    assert (facts["media_parts"], facts["text_bytes"]) == (1, len(body))


# What tokens do not bound

FUNCTION = '{"type":"function","function":{"name":"f"}}'


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_parameter_that_costs_more_than_tokens_is_named_unless_it_is_off(name: str) -> None:
    for value in ("{}", "[]", "true", "1", '""'):
        assert scan(with_member(f'"{name}":{value}'))["unbounded"].decode() == name
    for value in ("null", "false", "0"):
        assert "unbounded" not in scan(with_member(f'"{name}":{value}'))


@pytest.mark.parametrize(
    ("name", "value", "bounded"),
    [
        ("service_tier", '"auto"', True),
        ("service_tier", '"default"', True),
        ("service_tier", '"flex"', True),
        ("service_tier", '"priority"', False),
        ("service_tier", r'"\u0061uto"', False),
        ("service_tier", "1", False),
        ("modalities", '["text"]', True),
        ("modalities", '[ "text" , "text" ]', True),
        ("modalities", "[]", True),
        ("modalities", '["text","audio"]', False),
        ("modalities", '["image","text"]', False),
        ("modalities", '"audio"', False),
        ("modalities", '[["text"]]', False),
        ("tools", "[]", True),
        ("tools", f"[{FUNCTION}]", True),
        ("tools", f'[ {FUNCTION} , {{"type" : "custom"}} ]', True),
        ("tools", '[{"function":{"type":"function"}}]', False),
        ("tools", f'[{FUNCTION},{{"type":"web_search"}}]', False),
        ("tools", '[{"type":"function","type":"web_search"}]', False),
        ("tools", '[{"type":"function","Type":"web_search"}]', False),
        ("tools", r'[{"type":"function","t\u0079pe":"web_search"}]', False),
        ("tools", '[{"type":"function","type\\u0000":"web_search"}]', False),
        ("tools", '["web_search"]', False),
        ("tools", "{}", False),
    ],
)
def test_only_values_at_the_usual_price_are_bounded(name: str, value: str, bounded: bool) -> None:
    facts = scan(with_member(f'"{name}":{value}'))
    assert facts.get("unbounded") == (None if bounded else name.encode())
    assert facts["tools"] is (name == "tools")


def test_a_prediction_and_functions_are_told() -> None:
    facts = scan(with_member('"prediction":{"type":"content","content":"x"},"functions":[]'))
    assert (facts["tools"], facts["prediction"]) == (True, True)


SECRET = "s3cretprompt"


@pytest.mark.parametrize(
    "body",
    [
        SECRET,
        f'{{"model":"{SECRET}\\n"}}',
        f'{{"model":["{SECRET}"]}}',
        f'{{"model":"m","{SECRET}":1,"{SECRET}":2}}',
        f'{{"model":"m","stream":"{SECRET}"}}',
        f'{{"model":"m","n":"{SECRET}"}}',
        f'{{"model":"m","model\\u0000{SECRET}":"m"}}',
        f'{{"model":"m","a":"{SECRET}\\q"}}',
        f'{{"model":"m"}}{SECRET}',
    ],
)
def test_a_refusal_is_one_sentence_that_quotes_nothing_of_the_body(body: str) -> None:
    _, message = scan(body)
    assert SECRET not in message
    assert message.endswith(".")
    assert "\n" not in message


names = st.sampled_from([*GOVERNED, "messages", "image_url", "file", "a"]) | st.text(max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.sampled_from(["", "m", "data:x", "é\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(names, values, max_size=6), st.text(min_size=1, max_size=3), st.booleans())
def test_what_passes_means_to_python_what_the_facts_say(
    members: dict[str, Any], model: str, ascii_only: bool
) -> None:
    text = json.dumps({**members, "model": model}, ensure_ascii=ascii_only)
    facts = scan(text)
    if isinstance(facts, tuple):
        return
    read = json.loads(text)
    caps = [read[name] for name in CAPS if read.get(name) is not None]
    assert facts["model"].decode() == read["model"]
    assert facts["stream"] is (read.get("stream") is True)
    assert facts["n"] == (read["n"] if read.get("n") is not None else 1)
    assert facts.get("max_tokens") == (max(caps) if caps else None)
    assert facts["include_usage"] is (
        (read.get("stream_options") or {}).get("include_usage") is True
    )


def test_the_page_on_reservations_lists_every_parameter_that_is_refused() -> None:
    page = (SOURCE.parents[1] / "docs/reservation.md").read_text()
    refused = page.partition("## What is refused")[2]
    source = (SOURCE / "unbounded.lua").read_text()
    first_list = source.partition("M.PARAMETERS = {")[2].partition("\n}")[0]
    assert re.findall(r'^  "(\w+)", --', first_list, re.MULTILINE) == UNBOUNDED
    named = re.findall(r'^ +(?:\{ )?"(\w+)", ', source, re.MULTILINE)
    assert set(named) >= {*UNBOUNDED, *OF_ENDPOINT, "tools", "modalities", "context_management"}
    for name in [*named, "service_tier", "item_reference", "suffix"]:
        assert f"`{name}`" in refused, name


@pytest.mark.parametrize("name", ["models", "fallbacks"])
@pytest.mark.parametrize("other", [each for each in UNBOUNDED if each not in OTHER_MODELS])
def test_a_parameter_that_names_other_models_is_told_before_others(name: str, other: str) -> None:
    for members in (f'"{other}":{{}},"{name}":["m"]', f'"{name}":["m"],"{other}":{{}}'):
        assert scan(with_member(members))["unbounded"].decode() == name
