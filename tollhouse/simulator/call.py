"""One request as an endpoint sees it, and the table of endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.routing import compile_path

from tollhouse.simulator.directives import Directives
from tollhouse.simulator.quirks import Quirk
from tollhouse.simulator.reply import Header, Reply
from tollhouse.simulator.store import Store


@dataclass(frozen=True, slots=True)
class Call:
    """A request below the base path, whose key is right.

    `names` are the parts of the path that the route leaves open. `check_model` raises the error of
    a model that does not exist.
    """

    body: bytes
    headers: list[Header]
    asked: Directives
    names: Mapping[str, str]
    store: Store
    quirk: Quirk
    check_model: Callable[[str], None]
    models: tuple[str, ...]

    def header(self, name: bytes) -> str | None:
        """The first header of that lower-case name."""
        found = (value for key, value in self.headers if key == name)
        return next((value.decode("latin-1") for value in found), None)


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`path` is what follows the base path, with `{name}` or, across slashes, `{name:path}`."""

    method: str
    path: str
    handler: Handler
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        pattern = compile_path(f"/{self.path}")[0]
        object.__setattr__(self, "pattern", pattern)
