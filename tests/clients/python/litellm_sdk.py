"""Programs on LiteLLM's SDK, as docs.litellm.ai shows it for OpenAI-compatible endpoints."""

import os

# The price map is otherwise fetched from the internet at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

MESSAGES = [{"role": "user", "content": "Say hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}, "celsius": {"type": "boolean"}},
            "required": ["place", "celsius"],
        },
    },
}


def _options():
    return {
        "api_base": f"{os.environ['TOLLHOUSE_URL']}/v1",
        "api_key": os.environ["TOLLHOUSE_KEY"],
    }


def completion():
    answer = litellm.completion(model="openai/chat", messages=MESSAGES, **_options())
    return {"model": answer.model, "text": answer.choices[0].message.content}


def stream():
    chunks = list(
        litellm.completion(model="openai/chat", messages=MESSAGES, stream=True, **_options())
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def acompletion():
    answer = await litellm.acompletion(model="openai/chat", messages=MESSAGES, **_options())
    return answer.choices[0].message.content


def tools():
    answer = litellm.completion(
        model="openai/chat",
        messages=MESSAGES,
        tools=[WEATHER],
        tool_choice="required",
        **_options(),
    )
    [call] = answer.choices[0].message.tool_calls
    return {"name": call.function.name, "arguments": call.function.arguments}


def retried():
    answer = litellm.completion(model="openai/chat", messages=MESSAGES, num_retries=2, **_options())
    return answer.choices[0].message.content


def error(model="openai/chat"):
    try:
        litellm.completion(model=model, messages=MESSAGES, max_retries=0, **_options())
    except litellm.exceptions.APIError as error:
        return {"class": type(error).__name__, "status": error.status_code}
    except Exception as error:
        return {"class": type(error).__name__, "status": getattr(error, "status_code", None)}


def embedding():
    answer = litellm.embedding(model="openai/embed", input=["one", "two"], **_options())
    return [len(one["embedding"]) for one in answer.data]


def responses():
    answer = litellm.responses(model="openai/responses", input="Say hello", **_options())
    return answer.output[-1].content[0].text


def messages():
    """Anthropic's dialect, with its address and key as they are documented."""
    answer = litellm.completion(
        model="anthropic/claude",
        messages=MESSAGES,
        max_tokens=100,
        api_base=os.environ["TOLLHOUSE_URL"],
        api_key=os.environ["TOLLHOUSE_KEY"],
    )
    return answer.choices[0].message.content


def rerank():
    answer = litellm.rerank(
        model="cohere/rerank",
        query="tolls",
        documents=["a tollhouse", "a teapot"],
        api_base=f"{os.environ['TOLLHOUSE_URL']}/v1/rerank",
        api_key=os.environ["TOLLHOUSE_KEY"],
    )
    return [one["index"] for one in answer.results]
