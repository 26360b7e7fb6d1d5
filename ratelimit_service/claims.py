"""From a policy and a request's size to what the ledger is asked for. Pure."""

from __future__ import annotations

from ratelimit_service.ledger.types import LARGEST_AMOUNT, Claim, ScopeLimits, Slot, SlotClaim
from ratelimit_service.reservation import RequestSize, worst_case
from tollhouse.money import Usage
from tollhouse.policy.compiled import Alias, Key, Limits, Scope, Snapshot


def claim(
    snapshot: Snapshot, key: Key, alias: Alias, size: RequestSize, reservation_id: str
) -> tuple[Claim, Usage]:
    """The claim, and the worst case that it reserves."""
    bound = worst_case(size, alias, snapshot.org)
    return Claim(
        reservation_id=reservation_id,
        slots=_slots(snapshot, key, alias),
        # A hostile body can claim thousands of pictures: past what the ledger counts exactly, it is
        # simply the largest amount there is.
        tokens=min(bound.input_tokens + bound.output_tokens, LARGEST_AMOUNT),
        cost=min(alias.price.cost(bound) if alias.price else 0, LARGEST_AMOUNT),
        lease_seconds=snapshot.org.reservation_lease_seconds,
        on_lost=snapshot.org.on_lost_reservation,
        time_zone=snapshot.org.time_zone,
    ), bound


def _slots(snapshot: Snapshot, key: Key, alias: Alias) -> tuple[SlotClaim, ...]:
    """The team's scopes always; org and alias live in other slots and cost a call each, so only
    where they have a limit."""
    of_key, of_project, of_team, of_org, of_alias, *_ = snapshot.scopes(key, alias)
    team = SlotClaim(
        Slot("team", key.team),
        (
            _limits(f"key:{key.id}", of_key),
            _limits(f"project:{key.project}", of_project),
            _limits("team", of_team),
        ),
    )
    org = SlotClaim(Slot("org", of_org.name), (_limits("org", of_org),))
    whole_alias = SlotClaim(Slot("alias", of_alias.name), (_limits("alias", of_alias),))
    beside = [
        slot for slot, scope in ((org, of_org), (whole_alias, of_alias)) if scope.limits != Limits()
    ]
    return (team, *beside)


def _limits(name: str, scope: Scope) -> ScopeLimits:
    return ScopeLimits(
        name,
        requests_per_minute=scope.limits.requests_per_minute,
        tokens_per_minute=scope.limits.tokens_per_minute,
        monthly_spend_nanousd=scope.limits.monthly_spend_nanousd,
    )
