"""What `tollhouse audit verify` found, for people and for programs. Pure."""

from __future__ import annotations

from typing import Any

from console.audit.record import NOTHING
from console.audit.verify import Verdict

__all__ = ["NOTHING", "as_data", "as_text"]


def as_text(verdict: Verdict) -> str:
    """One finding a line, then what was read, and the head to note."""
    lines = [str(finding) for finding in verdict.findings]
    lines += [f"note: {note}" for note in verdict.notes]
    for part in verdict.parts:
        held = f"records {part.first} to {part.head}" if part.head else "no record"
        lines.append(f"{part.file}: {held}")
    against = (
        f", compared with {', '.join(verdict.checked_against)}" if verdict.checked_against else ""
    )
    if verdict.is_good:
        lines.append(f"good: {verdict.records:,} records{against}; head {verdict.head}")
    else:
        count = len(verdict.findings)
        found = "1 finding" if count == 1 else f"{count} findings"
        lines.append(f"TAMPERED: {found} in {verdict.records:,} records")
    return "\n".join(lines)


def as_data(verdict: Verdict) -> dict[str, Any]:
    """For programs."""
    return {
        "good": verdict.is_good,
        "records": verdict.records,
        "head": str(verdict.head),
        "compared_with": list(verdict.checked_against),
        "findings": [
            {"file": one.place.file, "line": one.place.line, "what": one.what}
            for one in verdict.findings
        ],
        "notes": list(verdict.notes),
        "files": [
            {"file": part.file, "first": part.first, "head": str(part.head) if part.head else None}
            for part in verdict.parts
        ],
    }
