"""`tollhouse render`: once, or again at every good edit of the policy."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicySource
from tollhouse.policy.watch import PolicyHolder, watch
from tollhouse.rendering.acceptance import Confirmation, EnvoyAdmin
from tollhouse.rendering.settings import EnvoySettings
from tollhouse.rendering.write import render

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rendering:
    """What is rendered, to where. `envoy`: the admin endpoint of the Envoy that runs from there."""

    source: PolicySource
    settings: EnvoySettings
    out: Path
    seen_as: Path
    envoy: str | None = None


def render_once(rendering: Rendering, say: Say) -> bool:
    """False if Envoy does not take it. Raises PolicyError or RenderError."""
    snapshot, asking = rendering.source.load(), _confirmation(rendering, say)
    before = asking.before() if asking else None
    _render(snapshot, rendering, say)
    return asyncio.run(asking.confirm(snapshot.version, before)) if asking else True


def render_watching(rendering: Rendering, say: Say) -> bool:
    """As `render_once`, and then until a signal; a bad policy changes nothing and is said."""
    holder, asking = PolicyHolder(rendering.source), _confirmation(rendering, say)

    def adopt(snapshot: Snapshot) -> None:
        before = asking.before() if asking else None
        _render(snapshot, rendering, say)
        if asking:
            asking.begin(snapshot.version, before)

    def refuse(error: PolicyError) -> None:
        say(f"policy refused, the last good one stays in force:\n{error}")

    async def follow() -> None:
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        adopt(holder.current)
        await watch(holder, stop, on_success=adopt, on_failure=refuse)
        if asking:
            await asking.close()

    asyncio.run(follow())
    return True


def _confirmation(rendering: Rendering, say: Say) -> Confirmation | None:
    return Confirmation(EnvoyAdmin(rendering.envoy), say) if rendering.envoy else None


def _render(snapshot: Snapshot, to: Rendering, say: Say) -> None:
    changed = render(snapshot, to.settings, to.out, seen_as=to.seen_as)
    names = ", ".join(str(path.relative_to(to.out.resolve())) for path in changed) or "nothing"
    say(f"policy {snapshot.version}: wrote {names}")
