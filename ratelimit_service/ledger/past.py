"""What a slot knows of the time before it, by which a replay of logs goes. Pure."""

from dataclasses import dataclass

_DAY_MS = 86_400_000
_UNKNOWN_CHARGED_MS = 3 * _DAY_MS  # as in scripts/settle.lua
# Settlements are remembered for four days, or an hour less (scripts/endings.lua, LATE_MS in
# settle.lua); half a day is left for that and for a long run.
_REMEMBERED_MS = 4 * _DAY_MS - _DAY_MS // 2


@dataclass(frozen=True, slots=True)
class SlotPast:
    """What a slot knows of what was before it, at `asked_ms`. All are epoch milliseconds.

    It was first used at `born_ms`. Lines of the log from before, not older than `replayed_from_ms`,
    were settled in it from `replayed_at_ms` on; both are 0 if none were.
    """

    born_ms: int
    replayed_from_ms: int
    replayed_at_ms: int
    asked_ms: int

    def lost(self, made_ms: int) -> bool:
        """Whether the slot came back empty after a reservation was made."""
        return made_ms < self.born_ms

    def must_note(self, made_ms: int) -> bool:
        """Whether a line may be settled that was lost, and is older than what is noted."""
        young = made_ms >= self.asked_ms - _UNKNOWN_CHARGED_MS
        noted = self.replayed_at_ms and made_ms >= self.replayed_from_ms
        return self.lost(made_ms) and young and not noted

    @property
    def late(self) -> bool:
        """Whether the slot is so old that it may have forgotten what it settled first."""
        return self.asked_ms - self.born_ms > _REMEMBERED_MS

    def kept(self, made_ms: int) -> bool:
        """Whether the slot counted a call that it does not remember; until it is late, it knows."""
        return self.late and not self.lost(made_ms)

    def unclear(self, made_ms: int) -> bool:
        """Whether a lost line may have been settled again, so long ago that it is forgotten."""
        replayed = self.replayed_at_ms and made_ms >= self.replayed_from_ms
        return bool(replayed) and self.asked_ms - self.replayed_at_ms > _REMEMBERED_MS
