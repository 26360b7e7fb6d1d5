"""Faults that are set from outside, for requests that bring no directives."""

from __future__ import annotations

from dataclasses import dataclass, field

from tollhouse.simulator.directives import PLAIN, Directives


class DefaultFault:
    """Directives for requests that bring none: for the next `times` of them, or (None) for all."""

    def __init__(self) -> None:
        self._directives = PLAIN
        self._times: int | None = None

    def set(self, directives: Directives, times: int | None) -> None:
        """Replace the fault; `times` counts requests."""
        self._directives, self._times = directives, times

    def take(self) -> Directives:
        """The directives for one request."""
        if self._times is None:
            return self._directives
        if self._times == 0:
            return PLAIN
        self._times -= 1
        return self._directives


@dataclass(slots=True)
class Faults:
    """One fault for all providers, and one for each that has been given its own."""

    _for_all: DefaultFault = field(default_factory=DefaultFault)
    _for_one: dict[str, DefaultFault] = field(default_factory=dict)

    def set(self, provider: str | None, directives: Directives, times: int | None) -> None:
        """Replace the fault of one provider, or (None) the one of all that have none."""
        fault = self._for_all
        if provider is not None:
            fault = self._for_one.setdefault(provider, DefaultFault())
        fault.set(directives, times)

    def clear(self, provider: str | None) -> None:
        """Behave: one provider, which then has the fault of all, or (None) everybody."""
        if provider is not None:
            self._for_one.pop(provider, None)
            return
        self._for_all = DefaultFault()
        self._for_one.clear()

    def take(self, provider: str) -> Directives:
        """The directives for one request."""
        return self._for_one.get(provider, self._for_all).take()
