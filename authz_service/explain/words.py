"""An explanation as text for people and as data for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from authz_service.explain.explanation import Explanation, Limit, Row
from authz_service.explain.rules import Step, decisive
from authz_service.inputs import aligned, shown_moment
from authz_service.verdicts import Decision, Refused
from tollhouse.decisions import ALLOWED, CODES
from tollhouse.money import TOKENS_PER_PRICE, format_usd
from tollhouse.policy.ordering import targets


def code_of(decision: Decision) -> str:
    """The code that a decision has in the log."""
    return decision.code if isinstance(decision, Refused) else ALLOWED


def explained(found: Explanation, version: str, now: float) -> Iterator[str]:
    """The lines of one explanation."""
    asked = f"{found.key.id} → {found.alias.name}, {found.call.method} {found.call.path}"
    yield f"{asked}, {shown_moment(now)}, policy {version}"
    yield from _decision(found)
    yield ""
    yield "What each level says of it, the widest first:"
    yield from aligned(_step(step) for step in found.steps)
    if found.shadow:
        yield ""
        yield "In shadow, logged as would_deny and not enforced:"
        yield from aligned(_step(step) for step in found.shadow)
    yield ""
    yield from _limits(found.limits)
    yield ""
    yield from aligned(_facts(found), indent="")


def _decision(found: Explanation) -> Iterator[str]:
    if isinstance(found.decision, Refused):
        yield f"REFUSED: {CODES[found.decision.code].status} {found.decision.code}"
        yield f"  {found.decision.message}"
    else:
        yield "ALLOWED by the policy; limits and budgets are asked next"


def _step(step: Step) -> tuple[str, ...]:
    by = f"{step.verdict} it by {step.entry}" if step.entry else step.verdict
    return (step.where, by, step.at)


def _limits(limits: tuple[Limit, ...]) -> Iterator[str]:
    if not limits:
        yield "No limit applies."
        return
    yield "Every limit that applies:"
    yield from aligned((each.scope, _limit(each), each.at) for each in limits)


def _limit(limit: Limit) -> str:
    return limit.stated.words + (f" ({limit.mode})" if limit.mode else "")


def _facts(found: Explanation) -> Iterator[tuple[str, ...]]:
    alias, price = found.alias, found.alias.price
    there = f"({found.alias_at}, {found.provider_at})"
    yield ("Goes to", f"{targets(alias)} at {found.base_url} {there}")
    if price is None:
        yield ("Price", "none is known")
    else:
        rates = " / ".join(map(format_usd, (price.input, price.output, price.cached_input)))
        stated = alias.first.price_source == "policy"
        source = found.price_at if stated else "the public list of genai-prices"
        yield ("Price", f"{rates} per million tokens of input / output / cached input ({source})")
    yield ("Reserves", _reserves(found))
    if found.key.expires_at is not None and found.expires_at:
        yield ("Expires", f"{shown_moment(found.key.expires_at)} ({found.expires_at})")


def _reserves(found: Explanation) -> str:
    usage, alias = found.reserves, found.alias
    extra = f" + {usage.input_tokens}" if usage.input_tokens else ""
    tokens = f"input tokens: bytes of the body{extra}; output tokens: {usage.output_tokens:,}"
    if alias.price is None:
        return tokens
    kilobyte = alias.price.input * 1000 // TOKENS_PER_PRICE
    worst = format_usd(found.reserves_nanousd or 0)
    return f"{tokens}; at most {worst}, and {format_usd(kilobyte)} for each 1,000 bytes"


def tabled(rows: list[Row]) -> Iterator[str]:
    """The lines of a key's table."""
    yield from aligned(_row(row) for row in rows)


def _row(row: Row) -> tuple[str, ...]:
    allowed = not isinstance(row.decision, Refused)
    step = _reason(row)
    why = _without_step(code_of(row.decision)) if step is None else step.words
    return (row.alias.name, "yes" if allowed else "no", why, step.at if step else "")


def _without_step(code: str) -> str:
    return "no level has allowed_models" if code == "model_not_allowed" else code


def _reason(row: Row) -> Step | None:
    """The level that made the decision, where a level of the policy did."""
    return decisive(row.steps, code_of(row.decision))


def as_data(found: Explanation, version: str, now: float) -> dict[str, Any]:
    """One explanation for scripts. Money is decimal USD, tokens are counts."""
    alias = found.alias
    return {
        "policy_version": version,
        "at": shown_moment(now),
        "key_id": found.key.id,
        "team": found.key.team,
        "project": found.key.project,
        "env": found.key.env,
        "method": found.call.method,
        "path": found.call.path,
        **_outcome(found.decision),
        "rules": [_step_data(step) for step in found.steps],
        "shadow": [_step_data(step) for step in found.shadow],
        "limits": [_limit_data(limit) for limit in found.limits],
        "alias": alias.name,
        "alias_at": found.alias_at,
        "provider": alias.first.provider,
        "provider_model": alias.first.model,
        "base_url": found.base_url,
        "price": alias.price.to_labels() if alias.price else None,
        "price_source": alias.first.price_source,
        "reserves": {
            "input_tokens_beside_body": found.reserves.input_tokens,
            "output_tokens": found.reserves.output_tokens,
            "cost_nanousd_beside_body": found.reserves_nanousd,
        },
    }


def table_data(rows: list[Row]) -> list[dict[str, Any]]:
    """A key's table for scripts."""
    reasons = ((row, _reason(row)) for row in rows)
    return [
        {
            "alias": row.alias.name,
            **_outcome(row.decision),
            "rule": _step_data(step) if step else None,
        }
        for row, step in reasons
    ]


def _outcome(decision: Decision) -> dict[str, Any]:
    refused = decision if isinstance(decision, Refused) else None
    return {
        "allowed": refused is None,
        "decision": code_of(decision),
        "status": CODES[refused.code].status if refused else None,
        "message": refused.message if refused else None,
    }


def _step_data(step: Step) -> dict[str, Any]:
    return {"where": step.where, "says": step.verdict, "entry": step.entry, "at": step.at}


def _limit_data(limit: Limit) -> dict[str, Any]:
    return {
        "scope": limit.scope,
        "limit": limit.stated.field,
        "value": limit.stated.value,
        "budget_mode": limit.mode,
        "at": limit.at,
    }
