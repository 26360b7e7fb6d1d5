"""When keys and tokens end, as requests say it."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from console.problems import ManageError
from tollhouse.keyring import moments
from tollhouse.policy import rules
from tollhouse.policy.teams import expiry_moment


def end(text: str, now: datetime) -> date:
    """A date or a time, of "30d", "2030-12-31", "2030-12-31T18:00:00Z" or "now".

    Raises:
        ManageError: `invalid_request`.
    """
    try:
        return rules.expiry(moments.moment(text, now))
    except (ValueError, OverflowError):
        message = (
            "'expires' must be a date such as 2030-12-31, a time such as 2030-12-31T18:00:00Z, or"
            " a duration such as 30d, before the year 3000"
        )
        raise ManageError("invalid_request", message, param="expires") from None


def future_end(text: str, now: datetime, zone: str) -> date:
    """The same, not yet over; a date ends in the org's time zone. Raises as `end`."""
    found = end(text, now)
    moment = expiry_moment(found, ZoneInfo(zone))
    if moment is not None and moment <= now.timestamp():
        message = "'expires' is over already: give a later one"
        raise ManageError("invalid_request", message, param="expires")
    return found
