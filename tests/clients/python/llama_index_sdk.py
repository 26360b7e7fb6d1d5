"""Programs on llama-index's OpenAI-like model, as its documentation shows them."""

import os

import openai
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

MESSAGES = [ChatMessage(role="user", content="Say hello")]
PIXEL = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89"
    b"\0\0\0\rIDATx\xdac\xfc\xff\xff?\x03\0\x08\xfc\x02\xfe\xa7\x9a\xa0\xa0\0\0\0\0IEND\xaeB`\x82"
)


class Verdict(BaseModel):
    """What was found."""

    zeta: str
    alpha: int


def get_weather(place: str, celsius: bool) -> str:
    """Weather at a place."""
    return f"18 degrees in {place}, {celsius}"


def _address():
    return {
        "api_base": f"{os.environ['TOLLHOUSE_URL']}/v1",
        "api_key": os.environ["TOLLHOUSE_KEY"],
    }


def _model(model="chat", **more):
    return OpenAILike(
        model=model, is_chat_model=True, is_function_calling_model=True, **_address(), **more
    )


def chat():
    answer = _model().chat(MESSAGES)
    return {"text": answer.message.content, "model": answer.raw.model}


def complete():
    return _model().complete("Say hello").text


def stream():
    return "".join(part.delta or "" for part in _model().stream_chat(MESSAGES))


async def astream():
    parts = await _model().astream_chat(MESSAGES)
    return "".join([part.delta or "" async for part in parts])


def tools():
    answer = _model().predict_and_call(
        [FunctionTool.from_defaults(get_weather)], user_msg="Weather in Paris?", tool_required=True
    )
    return answer.response


def structured():
    answer = _model().as_structured_llm(Verdict).complete("Judge")
    return list(answer.raw.model_dump())


def vision():
    blocks = [TextBlock(text="What is in this image?"), ImageBlock(image=PIXEL)]
    answer = _model().chat([ChatMessage(role="user", blocks=blocks)])
    return {"input": answer.raw.usage.prompt_tokens}


def retried():
    return _model(max_retries=2).chat(MESSAGES).message.content


def error():
    try:
        _model("gpt-nothing", max_retries=0).chat(MESSAGES)
    except openai.OpenAIError as error:
        return {"class": type(error).__name__, "code": error.code}


def embed():
    model = OpenAILikeEmbedding(model_name="embed", **_address())
    return [len(vector) for vector in model.get_text_embedding_batch(["one", "two"])]
