"""What pages read of the logs; where a log cannot be read the rest of the page is shown."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from console.audit.errors import Unreadable
from console.audit.filters import ActionFilters, CallFilters
from console.audit.search import recent_errors, search_audit
from console.pages.views.audit import CallLine, RecordLine, call_lines, record_line
from console.pages.views.known import Known
from console.pages.visit import Visit
from tollhouse.access_log.logs import LogError

log = logging.getLogger("tollhouse.console")

_MOST: Final = 10
_DAYS: Final = 7


async def records_of(visit: Visit, target: str) -> list[RecordLine] | None:
    """The latest about a target; None: the role may not, or the log cannot be read."""
    if not visit.may("audit.read"):
        return None

    def read() -> list[RecordLine]:
        found = search_audit(visit.services.audit.path, ActionFilters(target=target), limit=_MOST)
        return [record_line(each, Known(visit.snapshot)) for each in found]

    try:
        return await visit.in_thread(read)
    except (Unreadable, LogError) as error:
        log.warning("the audit log is not shown", extra={"fields": {"reason": str(error)}})
        return None


async def calls_of_key(visit: Visit, key: str) -> list[CallLine] | None:
    """The latest that were refused or failed; None where there is no log to look into."""
    patterns = visit.services.access_logs
    if not patterns or not visit.may("error.read"):
        return None
    since = datetime.fromtimestamp(visit.now, UTC) - timedelta(days=_DAYS)

    def read() -> list[CallLine]:
        return call_lines(
            recent_errors(patterns, since=since, filters=CallFilters(key=key), limit=_MOST)
        )

    try:
        return await visit.in_thread(read)
    except (Unreadable, LogError) as error:
        log.warning("the access log is not shown", extra={"fields": {"reason": str(error)}})
        return None
