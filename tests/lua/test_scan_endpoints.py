"""envoy/lua/scan.lua: what is read at some endpoints only."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lua.modules import Modules
from tests.lua.test_scan import code_of, scan
from tollhouse import endpoints

LUA = Modules()  # for Hypothesis, which would have to rebuild a fixture for every example

JSON_BODIES = sorted(endpoints.NAMING_A_MODEL - endpoints.MULTIPART)


def facts_of(endpoint: str, **members: Any) -> dict[str, Any]:
    found = scan(json.dumps({"model": "m", **members}), endpoint)
    assert isinstance(found, dict), found
    return found


def refused(endpoint: str, text: str) -> tuple[str, str]:
    found = scan('{"model":"m",' + text + "}", endpoint)
    assert isinstance(found, tuple), found
    return found


def unbounded(endpoint: str, **members: Any) -> str | None:
    found: bytes | None = facts_of(endpoint, **members).get("unbounded")
    return found.decode() if found else None


# All of them

MINIMAL: dict[str, dict[str, Any]] = {"audio/speech": {"input": "x"}, "rerank": {"documents": []}}


@pytest.mark.parametrize("endpoint", JSON_BODIES)
def test_every_json_body_names_its_model_once_and_plainly(endpoint: str) -> None:
    more = json.dumps(MINIMAL.get(endpoint, {"x": 1}))[1:-1]
    assert scan('{"model":"a",' + more + "}", endpoint)["model"] == b"a"
    for spelled in ('"model":"b"', '"Model":"b"', '"mode\\u006c":"b"', '"model\\u0000":"b"'):
        assert code_of('{"model":"a",' + more + "," + spelled + "}", endpoint) == "ambiguous_body"


# Completions


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        (None, 1),
        ("one", 1),
        ([], 1),
        (["a"], 1),
        (['a,"]b', "\\", "c"], 3),
        ([1, 2, 3], 1),
        ([[1, 2], [3]], 2),
    ],
)
def test_choices_are_made_for_every_prompt(prompt: Any, prompts: int) -> None:
    assert facts_of("completions", prompt=prompt)["n"] == prompts
    assert facts_of("completions", prompt=prompt, n=128)["n"] == 128 * prompts


@pytest.mark.parametrize("prompt", ["1", "{}", "true", '["a",1]', '[1,"a"]', "[[1],1]", "[null]"])
def test_a_prompt_of_no_known_shape_is_refused(prompt: str) -> None:
    code, message = refused("completions", f'"prompt":{prompt}')
    assert (code, "`prompt`" in message) == ("invalid_body", True)


def test_a_suffix_is_bounded_by_its_bytes_for_one_prompt_only() -> None:
    assert unbounded("completions", prompt=["a"], suffix="b") is None
    assert unbounded("completions", prompt=["a", "b"], suffix="b") == "suffix"
    assert unbounded("completions", prompt=["a", "b"], suffix=None) is None


def test_further_prompts_of_vllm_are_told() -> None:
    assert unbounded("completions", prompt="a", prompt_embeds="x") == "prompt_embeds"
    assert unbounded("chat/completions", prompt_embeds="x") is None


# Responses


def test_a_responses_call_tells_its_cap_and_the_response_before() -> None:
    facts = facts_of("responses", max_output_tokens=7, previous_response_id="resp_1.a-b", input="x")
    assert (facts["max_tokens"], facts["previous_response_id"]) == (7, b"resp_1.a-b")
    assert facts_of("responses")["previous_response_id"] == b"none"
    assert facts_of("responses", previous_response_id=None)["previous_response_id"] == b"none"
    assert facts_of("responses", previous_response_id="other")["previous_response_id"] == b"other"


@pytest.mark.parametrize(
    "value", ["1", "true", "{}", '""', '"none"', '"a b"', '"é"', '"a/b"', f'"{"a" * 201}"']
)
def test_a_previous_response_that_is_no_id_is_refused(value: str) -> None:
    code, message = refused("responses", f'"previous_response_id":{value}')
    assert (code, "`previous_response_id`" in message) == ("invalid_body", True)


@pytest.mark.parametrize("name", ["background", "conversation", "prompt"])
def test_what_a_provider_keeps_or_answers_later_is_unbounded_for_responses(name: str) -> None:
    assert unbounded("responses", **{name: {"id": "x"}}) == name
    assert unbounded("responses", **{name: False}) is None
    assert unbounded("chat/completions", **{name: True}) is None


@pytest.mark.parametrize(
    ("tool", "bounded"),
    [
        ({"type": "function", "name": "f"}, True),
        ({"type": "custom"}, True),
        ({"type": "local_shell"}, True),
        ({"type": "apply_patch"}, True),
        ({"type": "computer_use_preview"}, True),
        ({"type": "web_search"}, False),
        ({"type": "file_search"}, False),
        ({"type": "code_interpreter"}, False),
        ({"type": "image_generation"}, False),
        ({"type": "mcp"}, False),
        ({"type": "shell"}, False),
        ({"type": None}, False),
        ({}, False),
    ],
)
def test_responses_tools_are_bounded_if_the_client_runs_them(
    tool: dict[str, Any], bounded: bool
) -> None:
    assert unbounded("responses", tools=[tool]) == (None if bounded else "tools")


def test_a_computer_is_no_tool_of_chats() -> None:
    assert unbounded("chat/completions", tools=[{"type": "computer"}]) == "tools"


@pytest.mark.parametrize(
    ("item", "is_reference"),
    [
        ('{"type":"item_reference","id":"msg_1"}', True),
        (r'{"type":"item_r\u0065ference","id":"msg_1"}', True),
        ('{"id":"msg_1"}', True),
        ('{"id":"msg_1","type":null}', True),
        ('{"Type":"item_reference","role":"user"}', True),
        ('{"role":"user","content":"item_reference"}', False),
        ('{"type":"function_call_output","call_id":"x","output":"y"}', False),
        ('"item_reference"', False),
    ],
)
def test_an_item_that_the_provider_keeps_is_told(item: str, is_reference: bool) -> None:
    body = '{"model":"m","input":[{"role":"user","content":[]},' + item + "]}"
    found = scan(body, "responses").get("unbounded")
    assert found == (b"item_reference" if is_reference else None)


def test_a_compaction_is_told_and_other_edits_of_the_context_are_not() -> None:
    for endpoint, edit in (("responses", "compaction"), ("messages", "compact_20260112")):
        edits = {"edits": [{"type": edit}]}
        assert unbounded(endpoint, context_management=edits) == "context_management"
    clear = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert unbounded("messages", context_management=clear) is None
    escaped = r'{"model":"m","context_management":{"edits":[{"type":"comp\u0061ct"}]}}'
    assert scan(escaped, "messages")["unbounded"] == b"context_management"


# Messages


@pytest.mark.parametrize("endpoint", ["messages", "messages/count_tokens"])
@pytest.mark.parametrize(
    ("tool", "bounded"),
    [
        ({"name": "f", "input_schema": {"type": "object"}}, True),
        ({"type": None, "name": "f"}, True),
        ({"type": "custom"}, True),
        ({"type": "bash_20250124"}, True),
        ({"type": "text_editor_20250728"}, True),
        ({"type": "computer_20250124"}, True),
        ({"type": "memory_20250818"}, True),
        ({"type": "web_search_20250305"}, False),
        ({"type": "web_fetch_20250910"}, False),
        ({"type": "code_execution_20250825"}, False),
        ({"type": "mcp_toolset"}, False),
        ({"type": "bash_code_execution_20250825"}, False),
        ({"type": "xbash_20250124"}, False),
        ({"type": "function"}, False),
    ],
)
def test_anthropics_tools_are_bounded_if_the_client_runs_them(
    endpoint: str, tool: dict[str, Any], bounded: bool
) -> None:
    facts = facts_of(endpoint, tools=[tool])
    assert facts["tools"] is True
    assert facts.get("unbounded") == (None if bounded else b"tools")


def test_a_tool_with_two_types_is_not_the_clients() -> None:
    for second in ('"type":"web_search_20250305"', '"Type":"web_search_20250305"'):
        body = '{"model":"m","tools":[{"type":"custom",' + second + "}]}"
        assert scan(body, "messages")["unbounded"] == b"tools"


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("mcp_servers", None),
        ("container", None),
        ("inference_geo", "global"),
        ("speed", "standard"),
        ("service_tier", "standard_only"),
        ("service_tier", "auto"),
    ],
)
def test_anthropics_parameters_of_another_price_are_told(name: str, usual: str | None) -> None:
    for value in ("us", ["x"], {"a": 1}):
        assert unbounded("messages", **{name: value}) == name
    assert unbounded("messages", **{name: usual}) is None


def test_the_speed_of_a_voice_costs_nothing() -> None:
    assert unbounded("audio/speech", input="x", speed=2.0) is None


def test_a_messages_call_tells_its_cap() -> None:
    facts = facts_of("messages", max_tokens=9, stream=True)
    assert (facts["max_tokens"], facts["stream"]) == (9, True)


PICTURE = "QUJD" * 500


def source(**members: Any) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", **members}}


def test_the_bytes_of_a_picture_in_a_source_are_not_text() -> None:
    for order in (1, -1):
        members = dict(list(source(data=PICTURE)["source"].items())[::order])
        body = json.dumps({"model": "m", "messages": [{"content": [{"source": members}] * 2}]})
        for text in (body, body.replace("image/png", r"image\/png")):
            facts = scan(text, "messages")
            assert (facts["media_parts"], facts["text_bytes"]) == (
                2,
                len(text) - 2 * len(PICTURE),
            )


@pytest.mark.parametrize(
    "part",
    [
        '{"source":{"type":"text","media_type":"text/plain","data":"%s"}}',
        '{"source":{"type":"base64","media_type":"application/pdf","data":"%s"}}',
        '{"source":{"media_type":"image/png","data":"%s"}}',
        '{"source":{"type":"base64","data":"%s"}}',
        '{"source":{"type":"base64","media_type":["image/png"],"data":"%s"}}',
        '{"source":{"type":"base64","media_type":"image/png","data":["%s"]}}',
        '{"source":{"type":"base64","media_type":"image/png","text":"%s"}}',
        '{"source":{"type":"base64","media_type":"image/png","data":"%s","type":"text"}}',
        '{"source":{"type":"base64","media_type":"image/png","data":"%s","Type":"text"}}',
        '{"source":{"type":"base64","media_type":"image/png","data":"","data":"%s"}}',
        '{"source":{"type":"base64","media_type":"image/png","data":"%s","data":""}}',
        '{"source":{"type":"base64","media_type":"image/png","data":"%s","media_type":1}}',
        '{"source":{"content":[{"source":{"type":"base64","media_type":"image/png"}}],"data":"%s"}}',
        '{"source":{"type":"base64","media_type":"image/png","x":{"data":"%s"}}}',
        '{"source":{"type":"base64","media_type":"image/png"},"image":{"data":"%s"}}',
        '{"source":{"type":"base64","media_type":"image/png"}},{"image":{"data":"%s"}}',
        '{"source":[{"type":"base64","media_type":"image/png","data":"%s"}]}',
        '{"type":"base64","media_type":"image/png","data":"%s"}',
    ],
)
def test_text_cannot_hide_from_the_count_in_a_source(part: str) -> None:
    body = '{"model":"m","messages":[{"content":[' + part % "a very long prompt" + "]}]}"
    assert scan(body, "messages")["text_bytes"] == len(body)


def test_a_source_is_a_part_where_it_is_an_object_and_the_dialect_is_anthropics() -> None:
    content = [{"type": "search_result", "source": "https://x"}, source(data="QUJD")]
    messages = [{"content": content}]
    assert facts_of("messages", messages=messages)["media_parts"] == 1
    assert facts_of("messages/count_tokens", messages=messages)["media_parts"] == 1
    assert facts_of("chat/completions", messages=messages)["media_parts"] == 0


@pytest.mark.parametrize(
    "member",
    [
        '"cache_control":{"type":"ephemeral"}',
        '"tools":[{"name":"f","cache_control":null}]',
        r'"system":[{"c\u0061che_control":{}}]',
        '"messages":[[{"content":[{"CACHE_CONTROL":1}]}]]',
    ],
)
def test_cache_control_is_told_at_any_depth_in_any_spelling(member: str) -> None:
    assert scan('{"model":"m",' + member + "}", "messages")["cache_control"] is True


def test_cache_control_as_text_is_nothing() -> None:
    body = '{"model":"m","messages":["cache_control",{"content":"cache_control"}]}'
    assert scan(body, "messages")["cache_control"] is False


# Speech, images, rerank, tiers


@given(st.text())
def test_the_characters_to_speak_are_counted_as_python_counts_them(text: str) -> None:
    body = json.dumps({"model": "m", "input": text})
    found = scan(body, "audio/speech")
    if isinstance(found, tuple):
        assert any("\ud800" <= character <= "\udfff" for character in text)
    else:
        assert found["characters"] == len(text)


@pytest.mark.parametrize("value", ["null", "1", "[]", '["a"]', r'"\ud800"'])
def test_speech_of_no_text_is_refused(value: str) -> None:
    code, message = refused("audio/speech", f'"input":{value}')
    assert (code, "`input`" in message) == ("invalid_body", True)
    assert code_of('{"model":"m"}', "audio/speech") == "invalid_body"


@pytest.mark.parametrize(
    ("members", "variant"),
    [
        ({}, "default default"),
        ({"quality": None, "size": None}, "default default"),
        ({"quality": "hd", "size": "1024x1792"}, "hd 1024x1792"),
        ({"quality": "hd 1024x1792", "size": ""}, "other other"),
        ({"quality": 1, "size": ["1024x1024"]}, "other other"),
        ({"quality": "a" * 20, "size": "a" * 21}, "a" * 20 + " other"),
        ({"quality": "a" * 999}, "other default"),
    ],
)
def test_the_variant_of_an_image_is_its_quality_and_size(
    members: dict[str, Any], variant: str
) -> None:
    assert facts_of("images/generations", **members)["image_variant"].decode() == variant


def test_a_variant_spelled_with_escapes_is_decoded() -> None:
    body = r'{"model":"m","quality":"\u0068d"}'
    assert scan(body, "images/generations")["image_variant"] == b"hd default"


def test_images_are_counted_up_to_ten() -> None:
    assert facts_of("images/generations", n=10)["n"] == 10
    assert facts_of("images/generations")["n"] == 1
    assert "from 1 to 10" in refused("images/generations", '"n":11')[1]


def test_partial_images_cost_more_than_an_image() -> None:
    assert unbounded("images/generations", partial_images=2, stream=True) == "partial_images"
    assert unbounded("images/generations", partial_images=0) is None


@pytest.mark.parametrize(
    ("documents", "count"),
    [([], 0), (["a"], 1), (["a", {"text": "]},"}, [1, [2]], None, -1.5e3, True], 6)],
)
def test_the_documents_of_a_rerank_are_counted(documents: list[Any], count: int) -> None:
    for indent in (None, 1):
        body = json.dumps({"model": "m", "documents": documents}, indent=indent)
        assert scan(body, "rerank")["documents"] == count


def test_a_rerank_without_an_array_of_documents_is_refused() -> None:
    for text in ('"documents":{}', '"documents":null', '"documents":"a"', '"query":"q"'):
        assert "`documents`" in refused("rerank", text)[1]
    assert "`top_n`" in refused("rerank", '"documents":[],"top_n":-1')[1]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("null", "none"),
        ('"priority"', "priority"),
        (r'"prior\u0069ty"', "priority"),
        ('"standard_only"', "standard_only"),
        ('"Priority"', "other"),
        ('"' + "a" * 21 + '"', "other"),
        ('""', "other"),
        ("1", "other"),
        ("false", "other"),
    ],
)
def test_the_tier_asked_for_is_told_if_it_is_a_short_word(value: str, told: str) -> None:
    body = '{"model":"m","service_tier":' + value + "}"
    assert scan(body, "chat/completions")["service_tier"].decode() == told


def test_a_tier_hides_no_other_unbounded_parameter() -> None:
    tier = {"service_tier": "priority"}
    assert unbounded("chat/completions", **tier) == "service_tier"
    assert unbounded("chat/completions", tools=[{"type": "mcp"}], **tier) == "tools"
    assert unbounded("chat/completions", modalities=["audio"], **tier) == "modalities"
    assert unbounded("responses", background=True, **tier) == "background"


def test_embeddings_and_moderations_make_no_choices() -> None:
    for endpoint in ("embeddings", "moderations", "messages", "responses"):
        assert facts_of(endpoint, input=["a", "b"], n=7)["n"] == 1


# Whatever is sent

NAMES = [
    "model", "Model", "prompt", "input", "n", "N", "documents", "quality", "size", "stream",
    "max_tokens", "max_output_tokens", "previous_response_id", "service_tier", "x",
]  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 130)
    | st.sampled_from(["", "m", "hd", "resp_1", "flex", 'é"\\', "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner),
    max_leaves=6,
)


def prompts_of(read: dict[str, Any]) -> int:
    prompt = read.get("prompt")
    is_several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return len(prompt) if is_several and prompt else 1


@given(
    st.sampled_from(JSON_BODIES),
    st.dictionaries(st.sampled_from(NAMES), VALUES),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_what_passes_at_an_endpoint_means_to_python_what_the_facts_say(
    endpoint: str, members: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps({"model": "m", **members}, ensure_ascii=ascii_only, indent=indent)
    facts = scan(text, endpoint)
    if isinstance(facts, tuple):
        return
    read = json.loads(text)
    assert facts["model"].decode() == read["model"]
    n = read["n"] if read.get("n") is not None else 1
    if endpoint in ("chat/completions", "images/generations"):
        assert facts["n"] == n
    elif endpoint == "completions":
        assert facts["n"] == n * prompts_of(read)
    else:
        assert facts["n"] == 1
    if endpoint == "rerank":
        assert facts["documents"] == len(read["documents"])
    if endpoint == "audio/speech":
        assert facts["characters"] == len(read["input"])
    if endpoint == "responses":
        assert facts["previous_response_id"].decode() == (
            read.get("previous_response_id") or "none"
        )


ODD = st.sampled_from([*'{}[]":,\\ \n\r\t\x00aM01', "model", '"model":"b"', "\\u0000", "é"])


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 3), ODD), min_size=1, max_size=4))
def test_a_broken_body_that_still_passes_is_one_that_python_reads_alike(
    edits: list[tuple[int, int, str]],
) -> None:
    text = '{"model":"a","n":2,"stream":true,"messages":[{"role":"user","content":"b"}]}'
    for at, drop, piece in edits:
        text = text[:at] + piece + text[at + drop :]
    facts = scan(text)
    if isinstance(facts, tuple):
        return
    pairs = json.loads(text, object_pairs_hook=list)
    read = dict(pairs)
    assert len(pairs) == len(read)
    assert facts["model"].decode() == read["model"]
    assert facts["stream"] is bool(read.get("stream"))
    assert facts["n"] == (1 if read.get("n") is None else read["n"])
