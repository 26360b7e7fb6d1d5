"""A gateway whose policy can be managed: the example tree, with its published admin token."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx

from tests.support.gateway import Gateway
from tollhouse.demo import DEMO_KEYS, DEMO_TOKENS
from tollhouse.paths import EXAMPLE_POLICIES

ADMIN = DEMO_TOKENS["demo-admin"]
LEAD = DEMO_TOKENS["demo-marketing-lead"]
KEY = DEMO_KEYS["marketing-website-prod-1"]


def example_tree(directory: Path) -> Path:
    """A copy of the example, to be edited."""
    return Path(shutil.copytree(EXAMPLE_POLICIES, directory))


def manage(
    gateway: Gateway, method: str, path: str, token: str | None = ADMIN, **options: Any
) -> httpx.Response:
    """A request to the management API, through Envoy; `path` begins after /manage."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    headers |= options.pop("headers", {})
    return gateway.http.request(method, f"/manage{path}", headers=headers, **options)


def chat(gateway: Gateway, key: str, model: str = "gpt4_limited") -> httpx.Response:
    """A small call of a model."""
    return gateway.http.post(
        "/v1/chat/completions",
        json={"model": model, "messages": [{"role": "user", "content": "Say hello"}]},
        headers={"authorization": f"Bearer {key}"},
    )
