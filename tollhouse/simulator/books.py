"""What the simulator remembers: its bill, the requests it saw, the fault it was set to."""

from __future__ import annotations

import base64
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from tollhouse.simulator.directives import PLAIN, Directives
from tollhouse.simulator.reply import Charge, Header

MAX_RECORDS = 10_000
MAX_RECORD_BYTES = 256 << 20
MAX_EXCHANGES = 1_000_000


@dataclass(slots=True)
class _Line:
    requests: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class Bill:
    """Tokens by model, as a provider would charge them.

    Every valid request that met no error is charged its prompt, and the completion tokens that
    had been generated when the exchange ended, however it ended.
    """

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def add(self, charge: Charge, completion_tokens: int) -> None:
        """Charge one request."""
        line = self._lines.setdefault(charge.model, _Line())
        line.requests += 1
        line.prompt_tokens += charge.usage.prompt
        line.cached_tokens += charge.usage.cached
        line.completion_tokens += completion_tokens

    def clear(self) -> None:
        """Start anew."""
        self._lines.clear()

    def to_json(self) -> dict[str, Any]:
        """{"requests": n, "by_model": {model: counts}}."""
        by_model = {
            model: {name: getattr(line, name) for name in _Line.__slots__}
            for model, line in self._lines.items()
        }
        return {
            "requests": sum(line.requests for line in self._lines.values()),
            "by_model": by_model,
        }


@dataclass(slots=True)
class Record:
    """One request. `completed`: the answer was written to its proper end, the client still there
    as far as could be seen. `usage`: what was billed, once the exchange is over."""

    method: str
    path: str
    query: str
    headers: list[Header]
    body: bytes
    provider_key_ok: bool = False
    completed: bool = False
    usage: dict[str, int] | None = None

    @property
    def size(self) -> int:
        """Bytes kept, roughly."""
        return len(self.body) + sum(len(name) + len(value) for name, value in self.headers)

    def to_json(self) -> dict[str, Any]:
        """The record with its body in base64 and its headers as a list of pairs, in order."""
        return {
            "method": self.method,
            "path": self.path,
            "query": self.query,
            "headers": [
                [name.decode("latin-1"), text.decode("latin-1")] for name, text in self.headers
            ],
            "body_base64": base64.b64encode(self.body).decode(),
            "provider_key_ok": self.provider_key_ok,
            "completed": self.completed,
            "usage": self.usage,
        }


@dataclass(slots=True)
class Exchange:
    """One request in brief: when it was complete (epoch seconds), who sent it, what it was billed.

    `model` is None where nothing was billed; `completed` as in Record.
    """

    received_at: float
    user_agent: str
    model: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    completed: bool = False


@dataclass(slots=True)
class Exchanges:
    """Every request in the order of arrival, in brief, so that many fit; none when not enabled."""

    enabled: bool
    _exchanges: list[Exchange] = field(default_factory=list)

    def add(self, exchange: Exchange) -> None:
        """Keep one."""
        if self.enabled and len(self._exchanges) < MAX_EXCHANGES:
            self._exchanges.append(exchange)

    def clear(self) -> None:
        """Forget all."""
        self._exchanges.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        return [asdict(exchange) for exchange in self._exchanges]


@dataclass(slots=True)
class Recorder:
    """The latest requests, bounded by number and by bytes; none when not enabled."""

    enabled: bool
    max_records: int = MAX_RECORDS
    max_bytes: int = MAX_RECORD_BYTES
    _records: deque[Record] = field(default_factory=deque)
    _bytes: int = 0

    def add(self, record: Record) -> None:
        """Keep a request, dropping the oldest to make room."""
        if not self.enabled:
            return
        self._records.append(record)
        self._bytes += record.size
        while len(self._records) > self.max_records or self._bytes > self.max_bytes:
            self._bytes -= self._records.popleft().size

    def clear(self) -> None:
        """Forget all."""
        self._records.clear()
        self._bytes = 0

    def to_json(self) -> list[dict[str, Any]]:
        """All records, oldest first."""
        return [record.to_json() for record in self._records]


class DefaultFault:
    """Directives for requests that bring none: for the next `times` of them, or (None) for all."""

    def __init__(self) -> None:
        self._directives = PLAIN
        self._times: int | None = None

    def set(self, directives: Directives, times: int | None) -> None:
        """Replace the fault; `times` counts requests."""
        self._directives, self._times = directives, times

    def clear(self) -> None:
        """Behave."""
        self.set(PLAIN, None)

    def take(self) -> Directives:
        """The directives for one request."""
        if self._times is None:
            return self._directives
        if self._times == 0:
            return PLAIN
        self._times -= 1
        return self._directives


@dataclass(frozen=True, slots=True)
class Books:
    """All of the above, shared by the provider's endpoints and the control API."""

    recorder: Recorder
    exchanges: Exchanges
    bill: Bill = field(default_factory=Bill)
    fault: DefaultFault = field(default_factory=DefaultFault)
