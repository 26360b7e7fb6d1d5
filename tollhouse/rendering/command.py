"""`tollhouse render`: once, or again at every good edit of the policy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicySource
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.rendering.settings import EnvoySettings
from tollhouse.rendering.write import render

Say = Callable[[str], None]


def render_once(
    source: PolicySource, settings: EnvoySettings, out: Path, seen_as: Path, say: Say
) -> None:
    """Raises PolicyError or RenderError."""
    _render(source.load(), settings, out, seen_as, say)


def render_watching(
    source: PolicySource, settings: EnvoySettings, out: Path, seen_as: Path, say: Say
) -> None:
    """As `render_once`, and then until a signal; a bad policy changes nothing and is said."""
    holder = PolicyHolder(source)

    def adopt(snapshot: Snapshot) -> None:
        _render(snapshot, settings, out, seen_as, say)

    def refuse(error: PolicyError) -> None:
        say(f"policy refused, the last good one stays in force:\n{error}")

    async def follow() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        adopt(holder.current)
        await watch(holder, stop, on_success=adopt, on_failure=refuse)

    asyncio.run(follow())


def _render(
    snapshot: Snapshot, settings: EnvoySettings, out: Path, seen_as: Path, say: Say
) -> None:
    changed = render(snapshot, settings, out, seen_as=seen_as)
    names = ", ".join(str(path.relative_to(out.resolve())) for path in changed) or "nothing"
    say(f"policy {snapshot.version}: wrote {names}")
