"""Programs on pydantic-ai, as ai.pydantic.dev shows it."""

import os

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Verdict(BaseModel):
    """What was found."""

    zeta: str
    alpha: int


def _openai():
    return OpenAIProvider(
        base_url=f"{os.environ['TOLLHOUSE_URL']}/v1", api_key=os.environ["TOLLHOUSE_KEY"]
    )


def _chat(name="chat"):
    return OpenAIChatModel(name, provider=_openai())


async def run():
    result = await Agent(_chat()).run("Say hello")
    return {"text": result.output, "output": result.usage.output_tokens}


async def stream():
    async with Agent(_chat()).run_stream("Say hello") as result:
        parts = [part async for part in result.stream_text(delta=True)]
    return "".join(parts)


async def tools():
    asked = []

    def weather(place: str, celsius: bool) -> str:
        """Weather at a place."""
        asked.append([place, celsius])
        return "18 degrees"

    result = await Agent(_chat(), tools=[weather]).run("How is the weather in Paris?")
    return {"text": result.output, "asked": len(asked)}


async def structured():
    result = await Agent(_chat(), output_type=Verdict).run("Judge")
    return list(result.output.model_dump())


async def vision():
    image = BinaryContent(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")
    result = await Agent(_chat()).run(["What is in this image?", image])
    return {"input": result.usage.input_tokens}


async def responses():
    model = OpenAIResponsesModel("responses", provider=_openai())
    result = await Agent(model).run("Say hello")
    return result.output


async def messages():
    provider = AnthropicProvider(
        base_url=os.environ["TOLLHOUSE_URL"], api_key=os.environ["TOLLHOUSE_KEY"]
    )
    result = await Agent(AnthropicModel("claude", provider=provider)).run("Say hello")
    return result.output


async def error():
    try:
        await Agent(_chat("gpt-nothing")).run("Say hello")
    except ModelHTTPError as error:
        return {"status": error.status_code, "code": error.body["code"]}
