"""A policy whose limits a test states, and requests, entries and waits for the tests beside it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from prometheus_client import CollectorRegistry

from ratelimit_service.claims import bound
from ratelimit_service.ledger.errors import LedgerUnavailable
from ratelimit_service.ledger.ids import new_reservation_id
from ratelimit_service.ledger.ledger import Ledger
from ratelimit_service.ledger.periods import periods_at
from ratelimit_service.ledger.types import Claim, Slot
from ratelimit_service.settlement import REPORTED, Entry
from ratelimit_service.size import RequestSize
from ratelimit_service.toll import claim, toll_of
from tests.ledger.builders import FakeClock
from tests.support.policy import KEY_ID, SHA256, write_tree
from tollhouse import contract, endpoints
from tollhouse.money import Price, Usage
from tollhouse.policy.compiled import Alias, Snapshot
from tollhouse.policy.compiler import load_snapshot

T = TypeVar("T")

PRICE = Price(input=150_000_000, output=600_000_000, cached_input=75_000_000)
IN_TEAM = f"team:web|key:{KEY_ID},project:site,team"
TEAM_SLOT = (IN_TEAM,)
COUNTED = f"key:{KEY_ID}@small~,project:site@small~,team@small~"
UNLIMITED = (f"{IN_TEAM},{COUNTED}", "org:acme|org~", "alias:small|alias~")
"""Where a call to `small` is held and counted if nothing has a limit but its own team."""
USED = Usage(1_000, 500)

STARTED = 1_795_521_600  # 2026-11-24T12:00:00Z
REQUEST_ID = "80bf7770-886e-4285-a9eb-0c430cb083fb"

# What stands in the metadata of a call that went well.
RESERVATION = {
    "reservation_id": "01a20c11299a7107ba326c52926bb18d",
    "slots": [IN_TEAM, "org:acme|org"],
    "cost_nanousd": "615000",
}
RESPONSE = {
    "usage_source": "reported",
    "input_tokens": 1_000,
    "output_tokens": 500,
    "cached_input_tokens": 200,
}
PRICE_LABELS = PRICE.to_labels()


def write_policy(
    directory: Path,
    *,
    org: str = "",
    team: str = "",
    project: str = "",
    key: str = "",
    alias: str = "",
    org_fields: str = "",
    key_id: str = KEY_ID,
) -> Path:
    """`key_id` may call `small` (at most 1000 tokens out) and `vectors`, which makes embeddings.

    The levels take limits, such as "requests_per_minute: 1"; `org_fields` any lines of org.yaml.
    """
    return write_tree(
        directory,
        org=f"org: acme\nowner: acme-ops\nlimits: {{{org}}}\n{org_fields}\n",
        models=f"""\
models:
  small:
    provider: openai
    model: gpt-4o-mini
    max_output_tokens: 1000
    max_tokens_per_media: 3000
    price: {{input_per_million: 0.15, output_per_million: 0.6, cached_input_per_million: 0.075}}
    limits: {{{alias}}}
  vectors:
    provider: openai
    model: text-embedding-3-small
    endpoints: [embeddings]
    price: {{input_per_million: 0.02, output_per_million: 0}}
""",
        teams__web=f"""\
team: web
owner: web-leads
limits: {{{team}}}
projects:
  site:
    allowed_models: [small, vectors]
    limits: {{{project}}}
    keys:
      - id: {key_id}
        sha256: {SHA256}
        limits: {{{key}}}
""",
    )


def snapshot_of(directory: Path, **levels: str) -> Snapshot:
    return load_snapshot(write_policy(directory, **levels))


def size(
    text_bytes: int = 100,
    *,
    media_parts: int = 0,
    max_tokens: int | None = None,
    n: int = 1,
    endpoint: str = endpoints.CHAT,
) -> RequestSize:
    """A request as request.lua reads it; a chat call unless said otherwise."""
    return RequestSize(endpoint, text_bytes, media_parts, max_tokens, n)


def claim_of(
    snapshot: Snapshot,
    asked: RequestSize | None = None,
    alias: Alias | None = None,
    expected_cost: int = 0,
) -> Claim:
    """The claim of a call of `KEY_ID`, to `small` unless said otherwise."""
    called = alias or snapshot.aliases["small"]
    toll = toll_of(snapshot, snapshot.keys[KEY_ID], called)
    return claim(
        toll,
        bound(toll.terms, asked or size()),
        reservation_id=new_reservation_id(),
        request_id=REQUEST_ID,
        expected_cost=expected_cost,
    )


def entry(
    *,
    reservation_id: str | None = None,
    slots: tuple[str, ...] = TEAM_SLOT,
    usage: Usage = USED,
    usage_source: str = REPORTED,
    price: Price | None = PRICE,
    reached_provider: bool = True,
    reserved_cost: int = 615_000,
) -> Entry:
    """The end of a call that took `USED`: 450,000 nano-dollars, 1,000 at 150 and 500 at 600."""
    return Entry(
        reservation_id=reservation_id or new_reservation_id(),
        slots=slots,
        key_id=KEY_ID,
        team="web",
        project="site",
        alias="small",
        usage=usage,
        usage_source=usage_source,
        price=price,
        reached_provider=reached_provider,
        reserved_cost=reserved_cost,
    )


def rate_limit_request(facts: Mapping[str, str]) -> RateLimitRequest:
    """Envoy's question about a call, once over the wire."""
    request = RateLimitRequest(domain=contract.RATE_LIMIT_DOMAIN)
    descriptor = request.descriptors.add()
    for name, value in facts.items():
        descriptor.entries.add(key=name, value=value)
    return RateLimitRequest.FromString(request.SerializeToString())


def logged(
    *,
    reservation: Mapping[str, Any] | None = RESERVATION,
    response: Mapping[str, Any] | None = RESPONSE,
    request: Mapping[str, Any] | None = None,
    price: Mapping[str, Any] | None = PRICE_LABELS,
    tried: Sequence[Mapping[str, Any]] = ({"provider": "openai", "status": "200"},),
    flags: Iterable[str] = (),
    decision: str = "allowed",
    granted: bool = True,
    alias: str | None = "small",
) -> HTTPAccessLogEntry:
    """An access-log entry as Envoy sends it, once over the wire; None leaves a part out."""
    entry = HTTPAccessLogEntry()
    spaces = entry.common_properties.metadata.filter_metadata
    grant: dict[str, Any] = {"key_id": KEY_ID, "team": "web", "project": "site"}
    if alias is not None:
        grant["alias"] = alias
    if granted:
        spaces[contract.GRANT].update(grant)
    if granted and price is not None:
        told = {"asked": {"provider": "openai", "price": dict(price)}, "tried": [*tried]}
        spaces[contract.ATTEMPT].update(told)
    written = (
        (contract.REQUEST, request),
        (contract.RESERVATION, reservation),
        (contract.RESPONSE, response and {"usage": response}),
    )
    for name, fields in written:
        if fields is not None:
            spaces[name].update(dict(fields))
    for flag in flags:
        setattr(entry.common_properties.response_flags, flag, True)
    if decision:
        entry.response.response_headers[contract.DECISION_HEADER] = decision
    entry.request.request_id = REQUEST_ID
    entry.common_properties.start_time.FromSeconds(STARTED)
    return HTTPAccessLogEntry.FromString(entry.SerializeToString())


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """A metric's value, 0 while there is none."""
    return registry.get_sample_value(name, labels) or 0.0


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name; each may be there once."""
    listed = list(pairs)
    assert len(dict(listed)) == len(listed)
    return dict(listed)


async def team_spend(ledger: Ledger, clock: FakeClock) -> tuple[int, int]:
    """Nano-dollars that the team web has (settled, held) this month."""
    month = periods_at("UTC", clock.second).month
    return await ledger.spend(Slot("team", "web"), "team", month)


async def until_spend(ledger: Ledger, clock: FakeClock, expected: tuple[int, int]) -> None:
    """Until the store answers (a lost connection is learned of by using it) and says this."""
    found: object = None
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            found = await team_spend(ledger, clock)
        except LedgerUnavailable as error:
            found = error
        if found == expected:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"the team's spend is {found!r} and did not become {expected}")


async def until(condition: Callable[[], T | None], what: str, seconds: float = 10.0) -> T:
    """The first true value of `condition`, while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")
