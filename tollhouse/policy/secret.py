"""Where a secret is that a policy names and does not hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by its place. Those of providers are read by Envoy alone.

    `kind` "env": `location` is the name of an environment variable; "file": an absolute path.
    """

    kind: Literal["env", "file"]
    location: str

    @classmethod
    def named(cls, reference: str) -> Secret:
        """Of `${VARIABLE}` or `file:/absolute/path`, as a policy writes it."""
        if reference.startswith("file:"):
            return cls("file", reference.removeprefix("file:"))
        return cls("env", reference.removeprefix("${").removesuffix("}"))
