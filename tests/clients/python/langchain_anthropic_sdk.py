"""Programs on langchain-anthropic, as its pages at docs.langchain.com show it."""

import os

import anthropic
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel


class Verdict(BaseModel):
    """What was found."""

    zeta: str
    alpha: int


@tool
def get_weather(place: str, celsius: bool) -> str:
    """Weather at a place."""
    return f"18 degrees in {place}, {celsius}"


def _model(model="claude", **more):
    return ChatAnthropic(
        model=model,
        max_tokens=100,
        base_url=os.environ["TOLLHOUSE_URL"],
        api_key=os.environ["TOLLHOUSE_KEY"],
        **more,
    )


def invoke():
    answer = _model().invoke("Say hello")
    return {"text": answer.text, "model": answer.response_metadata["model_name"]}


def stream():
    return "".join(chunk.text for chunk in _model().stream("Say hello"))


async def astream():
    return "".join([chunk.text async for chunk in _model().astream("Say hello")])


def tools():
    model = _model()
    messages = [HumanMessage("How is the weather in Paris?")]
    first = model.bind_tools([get_weather], tool_choice="any").invoke(messages)
    [call] = first.tool_calls
    result = get_weather.invoke(call)
    last = model.bind_tools([get_weather]).invoke([*messages, first, result])
    return {"name": call["name"], "arguments": list(call["args"]), "text": last.text}


def structured():
    answer = _model().with_structured_output(Verdict).invoke("Judge")
    return list(answer.model_dump())


def error():
    try:
        _model("claude-nothing").invoke("Say hello")
    except anthropic.APIStatusError as error:
        return {"status": error.status_code, "type": error.body["error"]["type"]}
