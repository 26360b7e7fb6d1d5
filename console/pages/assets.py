"""The style sheet, the script and the icon, served from memory."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from console.pages import headers
from console.pages.views.links import ROOT

_FOLDER = Path(__file__).parent / "static"
_TYPES: Final = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


@cache
def _content(name: str) -> bytes:
    return (_FOLDER / name).read_bytes()


def address(name: str) -> str:
    """With a part that changes when the file does, so that browsers may keep it for ever."""
    return f"{ROOT}/static/{name}?v={hashlib.sha256(_content(name)).hexdigest()[:12]}"


async def serve(request: Request) -> Response:
    """One of the files; whoever asks, for the page to sign in needs them."""
    name = request.path_params["name"]
    if name not in _TYPES:
        return Response("not found", 404, headers.ALWAYS, media_type="text/plain")
    kept = {**headers.ALWAYS, "cache-control": "public, max-age=31536000, immutable"}
    return Response(_content(name), 200, kept, media_type=_TYPES[name])
