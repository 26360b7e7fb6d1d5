"""What is measured: where requests go, and with what headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bench.processes import Used

KEY = "{key}"
"""In a header: where the caller's key stands."""

JSON = {"content-type": "application/json"}
BEARER = JSON | {"authorization": f"Bearer {KEY}"}

PLAIN, PACED = "plain", "paced"


@dataclass(frozen=True, slots=True)
class Door:
    """A URL that answers chats, and the headers that it wants."""

    url: str
    headers: Mapping[str, str] = field(default_factory=lambda: dict(BEARER))


@dataclass(frozen=True, slots=True)
class Target:
    """One that is measured. Its doors lead to the upstream's plain answer or its paced stream."""

    name: str
    doors: Mapping[str, Door]
    key: str
    used: Callable[[], dict[str, Used]]


def gateway_doors(endpoint: str) -> dict[str, Door]:
    """Of a target that chooses its upstream by the body's model."""
    door = Door(f"{endpoint}/v1/chat/completions")
    return {PLAIN: door, PACED: door}
