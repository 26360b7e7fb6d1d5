"""Programs on langchain-openai, as its pages at docs.langchain.com show it."""

import os

import openai
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field


class Verdict(BaseModel):
    """What was found."""

    zeta: str = Field(description="first")
    alpha: int = Field(description="second")
    mid: bool


@tool
def get_weather(place: str, celsius: bool) -> str:
    """Weather at a place."""
    return f"18 degrees in {place}" if celsius else "64 degrees"


def _options(**more):
    return {
        "base_url": f"{os.environ['TOLLHOUSE_URL']}/v1",
        "api_key": os.environ["TOLLHOUSE_KEY"],
        **more,
    }


def _model(**more):
    return ChatOpenAI(model="chat", **_options(**more))


def invoke():
    answer = _model().invoke("Say hello")
    return {"text": answer.text, "model": answer.response_metadata["model_name"]}


def stream():
    chunks = list(_model(stream_usage=True).stream("Say hello"))
    usages = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    return {
        "text": "".join(chunk.text for chunk in chunks),
        "output": sum(usage["output_tokens"] for usage in usages),
    }


async def astream():
    return "".join([chunk.text async for chunk in _model().astream("Say hello")])


async def abatch(count):
    answers = await _model().abatch([f"Say hello {number}" for number in range(count)])
    return [answer.text for answer in answers]


def tools():
    model = _model()
    messages = [HumanMessage("How is the weather in Paris?")]
    first = model.bind_tools([get_weather], tool_choice="any").invoke(messages)
    [call] = first.tool_calls
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage)
    last = model.bind_tools([get_weather]).invoke([*messages, first, result])
    return {"name": call["name"], "arguments": list(call["args"]), "text": last.text}


def structured(method):
    answer = _model().with_structured_output(Verdict, method=method).invoke("Judge")
    return list(answer.model_dump())


def vision():
    image = {"type": "image", "url": "https://example.com/tollhouse.png"}
    content = [{"type": "text", "text": "What is in this image?"}, image]
    answer = _model().invoke([HumanMessage(content)])
    return {"input": answer.usage_metadata["input_tokens"]}


def responses():
    model = ChatOpenAI(model="responses", use_responses_api=True, **_options())
    answer = model.invoke("Say hello")
    return {"text": answer.text, "output": answer.usage_metadata["output_tokens"]}


def error():
    try:
        ChatOpenAI(model="gpt-nothing", **_options()).invoke("Say hello")
    except openai.OpenAIError as error:
        return {"class": type(error).__mro__[0].__name__, "code": error.code}


def embed():
    # By default texts are cut into token numbers, by a tokenizer that is fetched for the model's
    # name; the documentation says to switch it off where the model is not OpenAI's own.
    model = OpenAIEmbeddings(model="embed", check_embedding_ctx_length=False, **_options())
    return [len(vector) for vector in model.embed_documents(["one", "two"])]
