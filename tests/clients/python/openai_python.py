"""Programs on OpenAI's Python SDK, as github.com/openai/openai-python shows them."""

import asyncio
import base64
import contextlib
import io
import os
import time
import wave

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Say hello"}]
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather at a place",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "celsius": {"type": "boolean"}},
            "required": ["place", "celsius"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


class Step(BaseModel):
    zeta: str
    alpha: str


class Answer(BaseModel):
    steps: list[Step]
    final_answer: str


def _options(**more):
    return {
        "base_url": f"{os.environ['TOLLHOUSE_URL']}/v1",
        "api_key": os.environ["TOLLHOUSE_KEY"],
        **more,
    }


def _client(**more):
    return OpenAI(**_options(**more))


def _described(error):
    return {
        "class": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": getattr(error, "code", None),
        "type": getattr(error, "type", None),
    }


# Chat completions


def chat():
    answer = _client().chat.completions.create(model="chat", messages=HELLO)
    return {"model": answer.model, "text": answer.choices[0].message.content}


def environment_alone():
    """The example of the vendor's documentation, byte for byte, but for the model's name."""
    example = (
        "from openai import OpenAI\n"
        "client = OpenAI()\n"
        'completion = client.chat.completions.create(model="chat",'
        ' messages=[{"role": "user", "content": "Say hello"}])\n'
        "print(completion.choices[0].message.content)\n"
    )
    os.environ["OPENAI_BASE_URL"] = f"{os.environ['TOLLHOUSE_URL']}/v1"
    os.environ["OPENAI_API_KEY"] = os.environ["TOLLHOUSE_KEY"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, {})  # noqa: S102
    del os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"]
    return printed.getvalue()


def chat_stream():
    stream = _client().chat.completions.create(model="chat", messages=HELLO, stream=True)
    chunks = list(stream)
    return {
        "models": sorted({chunk.model for chunk in chunks}),
        "text": "".join(chunk.choices[0].delta.content or "" for chunk in chunks),
        "usage": [chunk.usage for chunk in chunks if chunk.usage],
    }


def chat_stream_usage():
    stream = _client().chat.completions.create(
        model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    *_, last = list(stream)
    return {"choices": len(last.choices), "output": last.usage.completion_tokens}


def chat_stream_events():
    """The helper that gathers a stream, and parses what was asked for."""
    with _client().chat.completions.stream(
        model="chat", messages=HELLO, response_format=Answer
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    return {
        "kinds": sorted(kinds),
        "parsed": final.choices[0].message.parsed.model_dump(),
        "model": final.model,
    }


def tool_round_trip():
    client = _client()
    messages = [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.chat.completions.create(
        model="chat", messages=messages, tools=[WEATHER], tool_choice="required"
    )
    message = first.choices[0].message
    [call] = message.tool_calls
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}]
    second = client.chat.completions.create(model="chat", messages=messages, tools=[WEATHER])
    return {
        "name": call.function.name,
        "arguments": call.function.arguments,
        "finish": first.choices[0].finish_reason,
        "text": second.choices[0].message.content,
    }


def tool_stream():
    stream = _client().chat.completions.create(
        model="chat", messages=HELLO, tools=[WEATHER], tool_choice="required", stream=True
    )
    calls = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]
    return {
        "name": calls[0].function.name,
        "arguments": "".join(call.function.arguments or "" for call in calls),
    }


def vision():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    content = [{"type": "text", "text": "What is in this image?"}, image]
    answer = _client().chat.completions.create(
        model="chat", messages=[{"role": "user", "content": content}]
    )
    return {"input": answer.usage.prompt_tokens, "text": answer.choices[0].message.content}


def structured():
    answer = _client().chat.completions.parse(model="chat", messages=HELLO, response_format=Answer)
    return {"parsed": answer.choices[0].message.parsed.model_dump(), "model": answer.model}


def chat_async():
    async def call():
        async with AsyncOpenAI(**_options()) as client:
            stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    return call()


def chat_concurrent(count):
    async def call():
        async with AsyncOpenAI(**_options()) as client:
            calls = [
                client.chat.completions.create(model="chat", messages=HELLO, n=1 + number % 2)
                for number in range(count)
            ]
            answers = await asyncio.gather(*calls)
        return {
            "texts": len({answer.choices[0].message.content for answer in answers}),
            "ids": len({answer.id for answer in answers}),
            "output": sum(answer.usage.completion_tokens for answer in answers),
        }

    return call()


def chat_cancelled():
    """Leaves after the third chunk."""
    stream = _client().chat.completions.create(model="chat", messages=HELLO, stream=True)
    seen = [next(stream) for _ in range(3)]
    stream.close()
    return len(seen)


def raw_response():
    raw = _client().chat.completions.with_raw_response.create(model="chat", messages=HELLO)
    headers = {name.lower() for name in raw.headers}
    return {
        "request_id": raw.headers["x-request-id"],
        "parsed_id": raw.parse()._request_id,
        "provider": sorted(name for name in headers if name.startswith(("openai-", "cf-"))),
    }


# Retries, timeouts, errors


def chat_timed(**options):
    """How long a call took, with the SDK's own retries."""
    started = time.monotonic()
    answer = _client(**options).chat.completions.create(model="chat", messages=HELLO)
    return {"text": answer.choices[0].message.content, "seconds": time.monotonic() - started}


def chat_error(model="chat", **options):
    try:
        _client(**options).chat.completions.create(model=model, messages=HELLO)
    except openai.OpenAIError as error:
        return _described(error)


def stream_error():
    """An error in the middle of a stream."""
    seen = 0
    try:
        for _ in _client().chat.completions.create(model="chat", messages=HELLO, stream=True):
            seen += 1
    except Exception as error:
        return {"seen": seen, "class": type(error).__name__}


def unknown_endpoint():
    try:
        _client(max_retries=0).files.list()
    except openai.OpenAIError as error:
        return _described(error)


# Models


def models():
    client = _client()
    return {
        "listed": [model.id for model in client.models.list()],
        "retrieved": client.models.retrieve("chat").id,
    }


# Responses


def respond():
    answer = _client().responses.create(model="responses", input="Say hello")
    return {"model": answer.model, "text": answer.output_text, "id": answer.id}


def respond_stream():
    stream = _client().responses.create(model="responses", input="Say hello", stream=True)
    events = list(stream)
    return {
        "kinds": [event.type for event in events],
        "text": "".join(e.delta for e in events if e.type == "response.output_text.delta"),
        "models": sorted({e.response.model for e in events if hasattr(e, "response")}),
    }


def respond_again():
    client = _client()
    first = client.responses.create(model="responses", input="Say hello")
    second = client.responses.create(
        model="responses", input="And again", previous_response_id=first.id
    )
    return {"first": first.id, "previous": second.previous_response_id}


def respond_stored():
    """Made, read, deleted, and gone."""
    client = _client(max_retries=0)
    made = client.responses.create(model="responses", input="Say hello")
    read = client.responses.retrieve(made.id)
    client.responses.delete(made.id)
    try:
        client.responses.retrieve(made.id)
    except openai.OpenAIError as error:
        return {
            "made": made.id,
            "read": read.id,
            "model": read.model,
            "gone": _described(error)["status"],
        }


def respond_tools():
    client = _client()
    tool = {"type": "function", **WEATHER["function"]}
    items = [{"role": "user", "content": "How is the weather in Paris?"}]
    first = client.responses.create(
        model="responses", input=items, tools=[tool], tool_choice="required"
    )
    [call] = [item for item in first.output if item.type == "function_call"]
    items += first.output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    second = client.responses.create(model="responses", input=[*items, output], tools=[tool])
    return {"name": call.name, "arguments": call.arguments, "text": second.output_text}


def respond_structured():
    answer = _client().responses.parse(model="responses", input="Say hello", text_format=Answer)
    return answer.output_parsed.model_dump()


# The other endpoints


def completion():
    answer = _client().completions.create(model="instruct", prompt="Say hello", max_tokens=50)
    return {"model": answer.model, "text": answer.choices[0].text}


def embed(**options):
    answer = _client().embeddings.create(model="embed", input=["one", "two"], **options)
    return {"model": answer.model, "vectors": [one.embedding for one in answer.data]}


def moderate():
    answer = _client().moderations.create(model="moderate", input="I am a harmless sentence")
    return {"model": answer.model, "flagged": answer.results[0].flagged}


def speak():
    with _client().audio.speech.with_streaming_response.create(
        model="speak", voice="alloy", input="Say hello"
    ) as answer:
        return {
            "bytes": sum(len(part) for part in answer.iter_bytes()),
            "type": answer.headers["content-type"],
        }


def transcribe():
    sound = ("hello.wav", _wave(seconds=2))
    answer = _client().audio.transcriptions.create(model="transcribe", file=sound)
    return {"text": answer.text}


def translate():
    sound = ("hello.wav", _wave(seconds=2))
    answer = _client().audio.translations.create(model="transcribe", file=sound)
    return {"text": answer.text}


def draw():
    answer = _client().images.generate(
        model="draw", prompt="A tollhouse", n=2, size="1024x1024", quality="high"
    )
    return {"images": [len(base64.b64decode(image.b64_json)) for image in answer.data]}


def redraw():
    picture = ("tollhouse.png", base64.b64decode(PIXEL))
    answer = _client().images.edit(model="draw", image=picture, prompt="Add a gate")
    return {"images": [len(base64.b64decode(image.b64_json)) for image in answer.data]}


def _wave(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 8000 * seconds)
    return file.getvalue()
