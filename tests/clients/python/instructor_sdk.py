"""Programs on instructor, as python.useinstructor.com shows it."""

import os

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, Field, field_validator

MESSAGES = [{"role": "user", "content": "Judge"}]


class Evidence(BaseModel):
    where: str
    because: str


class Verdict(BaseModel):
    """What was found, thought through before it is decided."""

    zeta: str = Field(description="think first")
    evidence: list[Evidence]
    alpha: int = Field(description="then decide")


class Noted(BaseModel):
    """What the simulated provider answers where the schema is in the prompt only."""

    zeta: str = ""
    text: str
    alpha: int = 0


class Strict(BaseModel):
    zeta: str

    @field_validator("zeta")
    @classmethod
    def refuse_once(cls, text):
        if not Strict.refused:
            Strict.refused = True
            raise ValueError("say it again")
        return text


Strict.refused = False


def _options():
    return {
        "base_url": f"{os.environ['TOLLHOUSE_URL']}/v1",
        "api_key": os.environ["TOLLHOUSE_KEY"],
    }


def create(mode):
    client = instructor.from_openai(OpenAI(**_options()), mode=instructor.Mode[mode])
    answer, raw = client.chat.completions.create_with_completion(
        model="chat", messages=MESSAGES, response_model=Verdict
    )
    return {"fields": list(answer.model_dump()), "model": raw.model}


def in_prompt():
    client = instructor.from_openai(OpenAI(**_options()), mode=instructor.Mode.JSON)
    answer = client.chat.completions.create(model="chat", messages=MESSAGES, response_model=Noted)
    return list(answer.model_dump())


def partial():
    client = instructor.from_openai(OpenAI(**_options()))
    parts = client.chat.completions.create_partial(
        model="chat", messages=MESSAGES, response_model=Verdict
    )
    return [part.model_dump() for part in parts][-1]


async def acreate():
    client = instructor.from_openai(AsyncOpenAI(**_options()))
    answer = await client.chat.completions.create(
        model="chat", messages=MESSAGES, response_model=Verdict
    )
    return list(answer.model_dump())


def corrected():
    """An answer that fails its validation is asked for once more."""
    Strict.refused = False
    client = instructor.from_openai(OpenAI(**_options()))
    answer = client.chat.completions.create(
        model="chat", messages=MESSAGES, response_model=Strict, max_retries=2
    )
    return list(answer.model_dump())
