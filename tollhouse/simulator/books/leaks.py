"""Which provider's key reached another provider."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from tollhouse.simulator.books.records import Record

_MAX_LEAKS = 10_000


@dataclass(frozen=True, slots=True)
class Leak:
    """A key of the provider `key_of` in a request to `reached` (None: to no provider's path).

    `where` is "header NAME", "path", "query" or "body". The key is nowhere in it.
    """

    key_of: str
    reached: str | None
    where: str
    method: str
    path: str


@dataclass(slots=True)
class Leaks:
    """The latest leaks; `keys` are each provider's, kept out of `repr`."""

    keys: Mapping[str, tuple[bytes, ...]] = field(repr=False)
    _found: deque[Leak] = field(default_factory=lambda: deque(maxlen=_MAX_LEAKS))

    def search(self, request: Record) -> None:
        """Note every key in the request that is not of the provider it was sent to."""
        for owner, keys in self.keys.items():
            if owner == request.provider:
                continue
            for where, text in _places(request):
                if any(key in text for key in keys):
                    path = request.path if where != "path" else "(hidden: the key is in it)"
                    self._found.append(Leak(owner, request.provider, where, request.method, path))

    def clear(self) -> None:
        """Forget all."""
        self._found.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        return [asdict(leak) for leak in self._found]


def _places(request: Record) -> Iterator[tuple[str, bytes]]:
    for name, value in request.headers:
        yield f"header {name.decode('latin-1')}", value
    yield "path", request.path.encode()
    yield "query", unquote_to_bytes(request.query)
    yield "body", request.body
