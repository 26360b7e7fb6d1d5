"""Every Redis key of the ledger, and why it is tagged as it is.

A Redis Cluster places a key by the part between its first braces, and a script may only touch
keys of one place. So each slot of the ledger has one tag, in all its keys:

    th:{team:marketing}:spend          HASH  <scope>|<YYYY-MM>|settled, …|held   nano-dollars
    th:{team:marketing}:win:<scope>    HASH  the sliding 60 s window of one scope (prelude.lua)
    th:{team:marketing}:holds          HASH  reservation id → what it reserved (prelude.lua)
    th:{team:marketing}:leases         ZSET  reservation id → end of its lease, epoch ms
    th:{team:marketing}:done:<day>     HASH  reservation id → how it ended; expires after 4 days

`<day>` is the day of the reservation id, in days since 1970-01-01 UTC. The scripts are given the
first three fixed keys and derive the others from them, with the same tag and so in the same place.
"""

from dataclasses import dataclass
from functools import lru_cache

from ratelimit_service.ledger.types import Slot


@dataclass(frozen=True, slots=True)
class SlotKeys:
    """The keys of one slot; `stem` is what they all begin with."""

    stem: str

    @property
    def spend(self) -> str:
        """HASH of settled and held nano-dollars per scope and month."""
        return self.stem + "spend"

    @property
    def declared(self) -> tuple[str, str, str]:
        """The KEYS of every script, in order."""
        return (self.spend, self.stem + "holds", self.stem + "leases")

    def window(self, scope: str) -> str:
        """HASH of the sliding window of `scope`."""
        return f"{self.stem}win:{scope}"


@lru_cache(maxsize=4096)
def slot_keys(prefix: str, slot: Slot) -> SlotKeys:
    """The keys of `slot`, e.g. under `th:{team:marketing}:` for the prefix `th:`."""
    return SlotKeys(f"{prefix}{{{slot.kind}:{slot.name}}}:")


def spend_field(scope: str, month: str, part: str) -> str:
    """The field of the spend hash for `part`, either `settled` or `held`."""
    return f"{scope}|{month}|{part}"
