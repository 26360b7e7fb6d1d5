"""An alert as Slack's incoming webhooks take it, and most chats that are compatible. Pure.

Source: https://api.slack.com/messaging/webhooks (`text`, `blocks`) and
https://api.slack.com/reference/surfaces/formatting (`&`, `<` and `>` are escaped, which also
keeps a name from being a mention).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from console.alerts.alert import Alert
from console.reads.usage import Dimension, UsageRow
from tollhouse.money import NANO_PER_USD, format_usd

Top = Sequence[tuple[str, int]]
"""Names, and what they cost in nano-dollars."""

TOP: Final = 3
"""How many keys or models a message names."""

_CENT = NANO_PER_USD // 100
_LONGEST = 2900  # Slack refuses a section of more than 3000 characters
_PLURALS: Final[dict[Dimension, str]] = {"team": "teams", "key": "keys", "model": "models"}


def message(alert: Alert, time_zone: str, tops: dict[Dimension, Top]) -> dict[str, Any]:
    """The body of the request. `tops`: what cost most of the period, by what it is."""
    title = _escaped(_title(alert))
    lines = [_facts(alert, time_zone), *_top_lines(tops), f"Ask: {_owner(alert)}"]
    told = "\n".join(map(_escaped, lines))[:_LONGEST]
    icon = ":rotating_light:" if alert.percent >= 100 else ":warning:"
    return {
        "text": f"{title}. {_escaped(lines[0])}",
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": f"{icon} *{title}*"}},
            {"type": "section", "text": {"type": "mrkdwn", "text": told}},
        ],
    }


def top(rows: Iterable[UsageRow], dimension: Dimension) -> Top:
    """What cost most, by name."""
    costs: dict[str, int] = {}
    for row in rows:
        name = getattr(row, dimension)
        costs[name] = costs.get(name, 0) + row.cost
    dearest = sorted(costs.items(), key=lambda each: (-each[1], each[0]))
    return [each for each in dearest[:TOP] if each[1]]


def _title(alert: Alert) -> str:
    where = alert.scope.where
    if alert.kind == "spike":
        return f"{where} spends much more than usual"
    budget = f"the {_period_word(alert)} budget of {where}"
    if alert.spent >= alert.measure:
        return f"{budget} is used up"
    return f"{alert.spent * 100 // alert.measure} % of {budget} is spent"


def _facts(alert: Alert, time_zone: str) -> str:
    spent = f"{_money(alert.spent)}"
    if alert.kind == "spike":
        return f"{spent} on {alert.period} so far; its usual day costs {_money(alert.measure)}."
    share = f" ({alert.spent * 100 // alert.measure} %)" if alert.measure else ""
    ends = datetime.fromtimestamp(alert.ends_at, ZoneInfo(time_zone))
    refused = " Calls are refused until then." if alert.spent >= alert.measure else ""
    return (
        f"{spent} of {_money(alert.measure)}{share} in {alert.period}. "
        f"It resets on {ends:%Y-%m-%d} at {ends:%H:%M} ({time_zone}).{refused}"
    )


def _top_lines(tops: dict[Dimension, Top]) -> Iterable[str]:
    for dimension, found in tops.items():
        if found:
            told = ", ".join(f"{name} {_money(cost)}" for name, cost in found)
            yield f"Most by {_PLURALS[dimension]}: {told}"


def _owner(alert: Alert) -> str:
    return alert.scope.owner or "the gateway operator"


def _period_word(alert: Alert) -> str:
    return alert.about.partition("_")[0]


def _money(nano: int) -> str:
    # Nobody reads nano-dollars beside dollars; below a dollar they may be all there is.
    return format_usd(nano if nano < NANO_PER_USD else nano - nano % _CENT)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
