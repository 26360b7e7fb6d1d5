"""Every Redis key of the ledger, and why it is tagged as it is.

A Redis Cluster places a key by the part between its first braces, and a script may only touch
keys of one place. So each slot of the ledger has one tag, in all its keys:

    th:{team:marketing}:held              HASH  what running calls hold, by scope
    th:{team:marketing}:holds             HASH  reservation id → what it reserved
    th:{team:marketing}:requests          HASH  Envoy's request id → reservation id, while held
    th:{team:marketing}:leases            ZSET  reservation id → end of its lease, epoch ms
    th:{team:marketing}:done:<no>         HASH  64 ids → how each ended; expires after 4 days
    th:{team:marketing}:win:<scope>       HASH  the sliding minute of one scope
    th:{team:marketing}:day:2026-11-24    HASH  spend, tokens, requests; expires after 8 days
    th:{team:marketing}:week:2026-W48     HASH  spend; expires after 45 days
    th:{team:marketing}:month:2026-11     HASH  spend; expires after 400 days
    th:{team:marketing}:usage:2026-11-24  HASH  the history; expires as the policy says

    th:{team:marketing}:born              HASH  when the slot was first used
    th:{team:marketing}:restored          HASH  months that were rebuilt from logs
    th:{team:marketing}:replayed          HASH  older lines that were settled from logs
    th:ledger                             HASH  until when slots were accepted
    th:slots                              SET   the tags of all slots that ever were in use
    th:probe                              HASH  what readiness writes; on a cluster th:probe:{N}

`<no>` is the time of the reservation id, in half minutes since 1970. The scripts are given
the first key (held) and derive the others from it, with the same tag and so in the same place. What
is in each is told at the head of scripts/prelude.lua.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ratelimit_service.ledger.types import Slot


@dataclass(frozen=True, slots=True)
class SlotKeys:
    """The keys of one slot; `stem` is what they all begin with."""

    stem: str

    @property
    def held(self) -> str:
        """HASH of what running calls hold; the slot's one of the KEYS of every script."""
        return self.stem + "held"

    def window(self, scope: str) -> str:
        """HASH of the sliding window of `scope`."""
        return f"{self.stem}win:{scope}"

    def counters(self, kind: Literal["day", "week", "month", "usage"], label: str) -> str:
        """HASH of what was settled in one day, week or month, or of a day's history."""
        return f"{self.stem}{kind}:{label}"


@lru_cache(maxsize=4096)
def slot_keys(prefix: str, slot: Slot) -> SlotKeys:
    """The keys of `slot`, e.g. under `th:{team:marketing}:` for the prefix `th:`."""
    return SlotKeys(f"{prefix}{{{slot.tag}}}:")
