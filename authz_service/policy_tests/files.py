"""The test files, field by field, as their authors write them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, InstanceOf
from pydantic_core import PydanticCustomError

from tollhouse.decisions import CODES
from tollhouse.policy import rules
from tollhouse.policy.field_types import Line, Model, Name
from tollhouse.policy.files import LimitsFile
from tollhouse.policy.problems import suggestion

ScopeLevel = Literal["key", "project", "team", "org"]

_NOT_SELECTORS = "must be a list of models, or a mapping such as {gpt4: model_not_allowed}"


def _refusals(value: object) -> object:
    """A list of models, or a mapping of models to codes, as the latter."""
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return dict.fromkeys(value, "")
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise PydanticCustomError("policy", _NOT_SELECTORS)
    return value


def _code(value: object) -> object:
    # Empty stands for any refusal; only a list gives it.
    if isinstance(value, str) and value and value not in CODES:
        raise PydanticCustomError("policy", f"is no decision code{suggestion(value, CODES)}")
    return value


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise PydanticCustomError("policy", "must be a path such as /v1/chat/completions")
    return rules.line(value)


Refusals = Annotated[dict[str, Annotated[str, BeforeValidator(_code)]], BeforeValidator(_refusals)]
Moment = Annotated[InstanceOf[date], BeforeValidator(rules.expiry)]
Path = Annotated[str, AfterValidator(_path)]


class KeysOf(Model):
    """Keys by where they are; what is left out is any."""

    team: Name | None = None
    project: Name | None = None
    env: Name | None = None


class PolicyTest(Model):
    """One test. `may_not` maps models to the code of their refusal, empty for any."""

    name: Line
    key: Name | None = None
    keys: KeysOf | None = None
    path: Path | None = None
    at: Moment | None = None
    may: list[str] = Field(default_factory=list)
    may_not: Refusals = Field(default_factory=dict)
    only: list[str] | None = None
    limits: dict[ScopeLevel, LimitsFile] = Field(default_factory=dict)


class TestsFile(Model):
    """One file of tests."""

    __test__ = False  # for pytest: it holds tests and is none

    tests: Annotated[list[PolicyTest], Field(min_length=1)]
