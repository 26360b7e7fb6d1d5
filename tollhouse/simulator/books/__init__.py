"""What the simulator remembers: its bill, the requests it saw, leaked keys, its faults."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollhouse.simulator.books.bill import Bill
from tollhouse.simulator.books.faults import Faults as Faults
from tollhouse.simulator.books.leaks import Leaks as Leaks
from tollhouse.simulator.books.records import Exchanges as Exchanges
from tollhouse.simulator.books.records import Recorder as Recorder


@dataclass(frozen=True, slots=True)
class Books:
    """All of it, shared by the providers and the control API."""

    recorder: Recorder
    exchanges: Exchanges
    leaks: Leaks
    bill: Bill = field(default_factory=Bill)
    faults: Faults = field(default_factory=Faults)
