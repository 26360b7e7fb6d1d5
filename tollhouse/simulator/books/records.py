"""The requests that were seen, whole or in brief."""

from __future__ import annotations

import base64
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from tollhouse.simulator.books.bill import described
from tollhouse.simulator.reply import Charge, Header
from tollhouse.simulator.usage import Counts

MAX_RECORDS = 10_000
MAX_RECORD_BYTES = 256 << 20
MAX_EXCHANGES = 1_000_000


@dataclass(slots=True)
class Record:
    """One request. `completed`: the answer was written to its proper end, the client still there
    as far as could be seen. `usage`: what was billed, once the exchange is over. `provider`: whose
    path it was sent to, None for nobody's."""

    method: str
    path: str
    query: str
    headers: list[Header]
    body: bytes
    provider: str | None = None
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
            "provider": self.provider,
            "provider_key_ok": self.provider_key_ok,
            "completed": self.completed,
            "usage": self.usage,
        }


@dataclass(slots=True)
class Exchange:
    """One request in brief: when it was complete (epoch seconds), who sent it, what it was billed.

    `model` is None where nothing was billed; `provider` and `completed` as in Record.
    """

    received_at: float
    user_agent: str
    provider: str | None = None
    model: str | None = None
    service_tier: str = ""
    counts: Counts = field(default_factory=Counts)
    completed: bool = False

    def charge(self, charge: Charge, counts: Counts) -> None:
        """Note what was billed."""
        self.model, self.service_tier, self.counts = charge.model, charge.service_tier, counts

    def to_json(self) -> dict[str, Any]:
        """The counts among the other fields."""
        line = asdict(self)
        del line["counts"]
        return line | described(self.counts)


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
        return [exchange.to_json() for exchange in self._exchanges]


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
