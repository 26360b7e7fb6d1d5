"""docker-compose.yml and the Dockerfile, as the tests read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD, RUNTIME = re.split(r"^FROM .+$", DOCKERFILE, flags=re.MULTILINE)[1:]

Service = dict[str, Any]


def load() -> dict[str, Any]:
    """The whole file, merge keys resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def services() -> dict[str, Service]:
    found: dict[str, Service] = load()["services"]
    return found


def is_ours(service: Service) -> bool:
    """Whether it runs in the image of the Dockerfile."""
    return bool(service["image"] == "tollhouse:local")


def option(service: Service, name: str) -> str:
    """The value of `--name=value` in a service's command."""
    [value] = [word.partition("=")[2] for word in service["command"] if word.startswith(f"{name}=")]
    return str(value)


def mounts(service: Service) -> dict[str, tuple[str, bool]]:
    """Source of each mount to its path inside, and whether it can be written to."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {source: (target, mode != ["ro"]) for source, target, *mode in parts}


def networks(service: Service) -> set[str]:
    """Those whose names a service can look up; it may borrow another's."""
    mode = service.get("network_mode", "")
    if mode.startswith("service:"):
        return networks(services()[mode.removeprefix("service:")])
    return set(service.get("networks", []))


def entrypoint() -> list[str]:
    """The image's ENTRYPOINT, in exec form."""
    [line] = re.findall(r"^ENTRYPOINT (.+)$", DOCKERFILE, re.MULTILINE)
    words: list[str] = json.loads(line)
    return words
