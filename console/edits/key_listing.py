"""Which keys a list shows."""

from __future__ import annotations

from console.actors import Actor
from console.edits.paging import Order
from console.edits.paging import page as paged
from console.edits.policy import KeyEntry, Policy
from console.edits.views import key_view
from console.permissions import require
from console.shapes.keys import KeyList, KeyQuery
from tollhouse.policy.lifetimes import state_of


def page(policy: Policy, actor: Actor, query: KeyQuery, now: float) -> KeyList:
    """Raises ManageError `role_not_allowed`, `invalid_request`."""
    require(actor, "key.read")
    found = [
        entry
        for entry in policy.keys.values()
        if actor.sees(entry.team) and _takes(policy, query, entry, now)
    ]
    shown, more = paged(found, lambda entry: _order(query, entry), query.limit, query.after)
    return KeyList(data=[key_view(policy, entry.key.id, now) for entry in shown], next=more)


def _takes(policy: Policy, query: KeyQuery, entry: KeyEntry, now: float) -> bool:
    key = policy.snapshot.keys[entry.key.id]
    owner = entry.key.metadata.get("owner")
    pairs = (
        (query.team, entry.team),
        (query.project, entry.project),
        (query.env, key.env),
        (query.owner, owner),
        (query.state, state_of(key, now) if query.state else None),
    )
    if any(wanted not in (None, found) for wanted, found in pairs):
        return False
    if query.model is not None and query.model not in key.models:
        return False
    text = f"{key.id}\n{entry.team}\n{entry.project}\n{owner or ''}".lower()
    return query.q is None or query.q.lower() in text


def _order(query: KeyQuery, entry: KeyEntry) -> Order:
    orders: dict[str, Order] = {
        "team": (entry.team, entry.project, entry.key.id),
        "project": (entry.project, entry.team, entry.key.id),
        "id": (entry.key.id,),
    }
    return orders[query.sort]
