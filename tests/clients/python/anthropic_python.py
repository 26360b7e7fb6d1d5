"""Programs on Anthropic's Python SDK, as github.com/anthropics/anthropic-sdk-python shows them."""

import asyncio
import contextlib
import io
import os
import time

import anthropic
from anthropic import Anthropic, AsyncAnthropic

HELLO = [{"role": "user", "content": "Say hello"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
WEATHER = {
    "name": "get_weather",
    "description": "Weather at a place",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "celsius": {"type": "boolean"}},
        "required": ["place", "celsius"],
    },
}
LONG = "A tollhouse stands beside the road. " * 200


def _options(**more):
    return {
        "base_url": os.environ["TOLLHOUSE_URL"],
        "api_key": os.environ["TOLLHOUSE_KEY"],
        **more,
    }


def _client(**more):
    return Anthropic(**_options(**more))


def _ask(client, model="claude", messages=HELLO, **more):
    return client.messages.create(model=model, max_tokens=100, messages=messages, **more)


def message():
    answer = _ask(_client())
    return {"model": answer.model, "text": answer.content[0].text, "stop": answer.stop_reason}


def environment_alone():
    example = (
        "from anthropic import Anthropic\n"
        "client = Anthropic()\n"
        "message = client.messages.create(max_tokens=100,"
        ' messages=[{"role": "user", "content": "Say hello"}], model="claude")\n'
        "print(message.content[0].text)\n"
    )
    os.environ["ANTHROPIC_BASE_URL"] = os.environ["TOLLHOUSE_URL"]
    os.environ["ANTHROPIC_API_KEY"] = os.environ["TOLLHOUSE_KEY"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, {})  # noqa: S102
    del os.environ["ANTHROPIC_BASE_URL"], os.environ["ANTHROPIC_API_KEY"]
    return printed.getvalue()


def bearer():
    """With ANTHROPIC_AUTH_TOKEN, which goes into `authorization`."""
    client = Anthropic(base_url=os.environ["TOLLHOUSE_URL"], auth_token=os.environ["TOLLHOUSE_KEY"])
    return _ask(client).content[0].text


def stream():
    with _client().messages.stream(model="claude", max_tokens=100, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    return {
        "text": text,
        "model": final.model,
        "output": final.usage.output_tokens,
    }


def raw_stream():
    events = list(_ask(_client(), stream=True))
    return {
        "kinds": list(dict.fromkeys(event.type for event in events)),
        "model": events[0].message.model,
    }


def tools():
    client = _client()
    first = _ask(client, tools=[WEATHER], tool_choice={"type": "any"})
    [call] = [block for block in first.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    messages = [
        *HELLO,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    last = _ask(client, messages=messages, tools=[WEATHER])
    return {
        "name": call.name,
        "arguments": list(call.input),
        "stop": first.stop_reason,
        "text": last.content[0].text,
    }


def tool_stream():
    with _client().messages.stream(
        model="claude",
        max_tokens=100,
        messages=HELLO,
        tools=[WEATHER],
        tool_choice={"type": "any"},
    ) as stream:
        final = stream.get_final_message()
    return list(final.content[-1].input)


def vision():
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    answer = _ask(_client(), messages=[{"role": "user", "content": content}])
    return {"input": answer.usage.input_tokens}


def cached():
    """A long system prompt, which is to be kept in the provider's cache."""
    system = [{"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    usage = _ask(_client(), system=system).usage
    return {"written": usage.cache_creation_input_tokens, "read": usage.cache_read_input_tokens}


def count():
    return _client().messages.count_tokens(model="claude", messages=HELLO).input_tokens


async def acreate(count):
    async with AsyncAnthropic(**_options()) as client:
        answers = await asyncio.gather(*(_ask(client) for _ in range(count)))
    return [answer.content[0].text for answer in answers]


def cancelled():
    seen = 0
    with _client().messages.stream(model="claude", max_tokens=100, messages=HELLO) as stream:
        for _ in stream.text_stream:
            seen += 1
            if seen == 3:
                break
    return seen


def timed(**options):
    started = time.monotonic()
    answer = _ask(_client(**options))
    return {"text": answer.content[0].text, "seconds": time.monotonic() - started}


def error(model="claude", **options):
    try:
        _ask(_client(**options), model=model)
    except anthropic.AnthropicError as error:
        body = getattr(error, "body", None) or {}
        return {
            "class": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "type": body.get("error", {}).get("type"),
        }


def models():
    return [model.id for model in _client().models.list()]
