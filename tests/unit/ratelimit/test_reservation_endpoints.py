"""Every endpoint is bounded in its own units, and at the dearest that may answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ratelimit_service.coverage import not_covered
from ratelimit_service.reservation import widest, worst_case, worst_cost
from ratelimit_service.size import RequestSize
from ratelimit_service.terms import all_terms, terms_of
from tests.unit.ratelimit.builders import snapshot_of
from tollhouse import endpoints
from tollhouse.money import Price, TokenPrice, Usage
from tollhouse.policy.compiled import Alias, Limits, Scope, Snapshot

DEARER = Price(
    1_000_000,
    2_000_000,
    cache_write=1_250_000,
    cache_write_1h=2_000_000,
    input_audio=5_000_000,
    output_audio=6_000_000,
    input_image=3_000_000,
    output_image=7_000_000,
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    return snapshot_of(tmp_path_factory.mktemp("policies"))


def priced(snapshot: Snapshot, *prices: Price | None, **fields: object) -> Alias:
    """`small` with a deployment at each price."""
    small = snapshot.aliases["small"]
    deployments = tuple(replace(small.first, price=price) for price in prices)
    return replace(small, deployments=deployments, **fields)  # type: ignore[arg-type]


def asked(endpoint: str, **facts: object) -> RequestSize:
    return replace(RequestSize(endpoint, 100, 0, None, 1), **facts)  # type: ignore[arg-type]


def bound(snapshot: Snapshot, endpoint: str, **facts: object) -> Usage:
    alias = priced(snapshot, DEARER)
    return worst_case(asked(endpoint, **facts), terms_of(alias, snapshot.org))


@pytest.mark.parametrize(
    "endpoint", sorted(endpoints.UNCHECKED | {endpoints.COUNT_TOKENS, endpoints.RESPONSE_BY_ID})
)
def test_a_call_that_makes_no_tokens_reserves_what_a_request_costs(
    snapshot: Snapshot, endpoint: str
) -> None:
    alias = priced(snapshot, replace(DEARER, per_request=9))
    usage = worst_case(asked(endpoint, n=7, media_parts=2), terms_of(alias, snapshot.org))
    assert (usage, worst_cost(usage, terms_of(alias, snapshot.org))) == (Usage(0, 0), 9)


def test_any_part_of_a_prompt_may_be_written_to_a_cache_where_the_provider_does_so_unasked(
    snapshot: Snapshot,
) -> None:
    chat, messages = (bound(snapshot, each) for each in (endpoints.CHAT, endpoints.MESSAGES))
    assert (chat.cache_write_tokens, chat.cache_write_1h_tokens) == (100, 0)
    assert (messages.cache_write_tokens, messages.cache_write_1h_tokens) == (0, 0)


def test_a_prompt_that_is_to_be_kept_may_be_kept_for_an_hour(snapshot: Snapshot) -> None:
    kept = bound(snapshot, endpoints.MESSAGES, cache_control=True)
    assert (kept.cache_write_tokens, kept.cache_write_1h_tokens) == (100, 100)
    assert DEARER.most(kept) == 100 * 2 + 1_000 * 7


def test_what_is_seen_or_heard_is_reserved_at_the_dearer_of_both(snapshot: Snapshot) -> None:
    usage = bound(snapshot, endpoints.CHAT, media_parts=1, max_tokens=0)
    assert (usage.input_audio_tokens, usage.input_image_tokens) == (3_000, 3_000)
    assert DEARER.most(usage) == 3_000 * 5 + 100 * 3


def test_sound_in_a_prompt_lasts_as_long_as_its_tokens_do_where_time_is_charged(
    snapshot: Snapshot,
) -> None:
    alias = priced(snapshot, Price(0, 0, per_hour=1))
    usage = worst_case(asked(endpoints.CHAT, media_parts=1), terms_of(alias, snapshot.org))
    assert usage.audio_milliseconds == 3_000 * 80
    assert bound(snapshot, endpoints.CHAT, media_parts=1).audio_milliseconds == 0


def test_a_part_that_costs_what_its_total_does_is_not_told_apart(snapshot: Snapshot) -> None:
    alias = priced(snapshot, Price(1, 2))
    size = asked(endpoints.CHAT, media_parts=1, cache_control=True)
    assert worst_case(size, terms_of(alias, snapshot.org)) == Usage(3_100, 1_000)


@pytest.mark.parametrize("endpoint", [endpoints.TRANSCRIPTIONS, endpoints.TRANSLATIONS])
def test_an_upload_lasts_as_long_as_the_most_frugal_codec_makes_it(
    snapshot: Snapshot, endpoint: str
) -> None:
    alias = priced(snapshot, DEARER, max_output_tokens=None)
    usage = worst_case(asked(endpoint, audio_bytes=750 * 60), terms_of(alias, snapshot.org))
    assert usage == Usage(
        100 + 60 * 32,
        60 * 32,
        input_audio_tokens=60 * 32,
        audio_milliseconds=60_000,
    )


def test_characters_to_be_spoken_are_exact_and_their_sound_is_bounded(snapshot: Snapshot) -> None:
    alias = priced(snapshot, DEARER, max_output_tokens=None)
    usage = worst_case(asked(endpoints.SPEECH, characters=40), terms_of(alias, snapshot.org))
    assert usage == Usage(100, 600, output_audio_tokens=600, characters=40)


def test_a_body_whose_characters_nobody_counted_has_no_more_than_bytes(snapshot: Snapshot) -> None:
    assert bound(snapshot, endpoints.SPEECH).characters == 100


@pytest.mark.parametrize("endpoint", [endpoints.IMAGES, endpoints.IMAGE_EDITS])
def test_every_picture_that_is_asked_for_may_be_made(snapshot: Snapshot, endpoint: str) -> None:
    alias = priced(snapshot, DEARER, max_output_tokens=None)
    size = asked(endpoint, n=3, image_variant="hd 1024x1024", media_parts=1)
    assert worst_case(size, terms_of(alias, snapshot.org)) == Usage(
        3_100,
        3 * 6_540,
        input_audio_tokens=3_000,
        input_image_tokens=3_000,
        output_image_tokens=3 * 6_540,
        images=3,
        image_variant="hd 1024x1024",
    )


def test_a_picture_that_the_policy_makes_larger_is_reserved_at_the_dearest(
    snapshot: Snapshot,
) -> None:
    price = Price(0, 0, per_image=(("default", 80), ("default 1024x1024", 40)))
    size = asked(endpoints.IMAGES, image_variant="default 1024x1024")
    alias = priced(snapshot, price)
    larger = replace(alias, defaults={"quality": '"hd"'})
    costs = [
        worst_cost(worst_case(size, terms), terms)
        for terms in (terms_of(each, snapshot.org) for each in (alias, larger))
    ]
    assert costs == [40, 80]


@pytest.mark.parametrize(
    ("documents", "text_bytes", "searches"),
    [(0, 10, 1), (1, 10, 1), (100, 0, 1), (100, 500, 2), (99, 500, 1), (1_000, 0, 10)],
)
def test_a_search_has_a_hundred_documents_of_five_hundred_tokens(
    snapshot: Snapshot, documents: int, text_bytes: int, searches: int
) -> None:
    facts = {"documents": documents, "text_bytes": text_bytes}
    assert bound(snapshot, endpoints.RERANK, **facts).search_units == searches


def test_a_query_counts_with_every_document_where_tokens_are_charged(snapshot: Snapshot) -> None:
    assert bound(snapshot, endpoints.RERANK, documents=7).input_tokens == 700
    by_search = priced(snapshot, Price(0, 0, per_thousand_searches=1))
    usage = worst_case(asked(endpoints.RERANK, documents=7), terms_of(by_search, snapshot.org))
    assert usage.input_tokens == 100


def test_the_prompts_of_a_completion_each_have_a_context_window(snapshot: Snapshot) -> None:
    alias = priced(snapshot, DEARER, max_input_tokens=60)
    tokens = {
        endpoint: worst_case(asked(endpoint), terms_of(alias, snapshot.org)).input_tokens
        for endpoint in (endpoints.CHAT, endpoints.COMPLETIONS)
    }
    assert tokens == {endpoints.CHAT: 60, endpoints.COMPLETIONS: 100}


def test_a_stored_conversation_may_fill_the_context_window(snapshot: Snapshot) -> None:
    alias = priced(snapshot, DEARER, max_input_tokens=8_192)
    size = asked(endpoints.RESPONSES, continued=True)
    assert worst_case(size, terms_of(alias, snapshot.org)).input_tokens == 8_192


HARD = [Scope("team", "web", Limits(monthly_spend_nanousd=1), None)]


def test_a_stored_conversation_without_a_known_window_is_refused_under_a_hard_budget(
    snapshot: Snapshot,
) -> None:
    size = asked(endpoints.RESPONSES, continued=True)
    found = not_covered(size, [priced(snapshot, DEARER)], HARD)
    assert found is not None
    assert found.parameter == "previous_response_id"
    windowed = priced(snapshot, DEARER, max_input_tokens=8_192)
    assert not_covered(size, [windowed], HARD) is None
    assert not_covered(size, [windowed, priced(snapshot, DEARER)], HARD) is not None


TIERED = replace(DEARER, service_tiers=(("priority", TokenPrice(4_000_000, 9_000_000)),))
PRIORITY = asked(endpoints.CHAT, service_tier="priority", unbounded="service_tier", max_tokens=10)


def test_a_tier_with_a_price_is_covered_if_every_deployment_has_it(snapshot: Snapshot) -> None:
    assert not_covered(PRIORITY, [priced(snapshot, TIERED)], HARD) is None
    for lacking in (DEARER, None):
        found = not_covered(PRIORITY, [priced(snapshot, TIERED, lacking)], HARD)
        assert found is not None
        assert found.parameter == "service_tier"


def test_a_tier_is_reserved_at_the_dearer_of_its_own_price_and_the_usual(
    snapshot: Snapshot,
) -> None:
    cheap = replace(DEARER, service_tiers=(("flex", TokenPrice(500_000, 1_000_000)),))
    flex = replace(PRIORITY, service_tier="flex")
    costs = [
        widest(all_terms(snapshot, priced(snapshot, price)), size)[1]
        for price, size in ((TIERED, PRIORITY), (cheap, flex))
    ]
    assert costs == [100 * 4 + 10 * 9, 100 * 5 // 4 + 10 * 7]


def test_a_tier_of_the_policy_is_reserved_too(snapshot: Snapshot) -> None:
    alias = priced(snapshot, TIERED, defaults={"service_tier": '"priority"'})
    usage = worst_case(asked(endpoints.CHAT), terms_of(alias, snapshot.org))
    assert usage.service_tier == "priority"


def test_the_dearest_deployment_is_reserved(snapshot: Snapshot) -> None:
    alias = priced(snapshot, Price(1_000_000, 0), Price(9_000_000, 0), None)
    assert worst_cost(Usage(10, 5), terms_of(alias, snapshot.org)) == 90


def test_the_dearest_of_an_alias_and_its_fallbacks_is_reserved(snapshot: Snapshot) -> None:
    alias = priced(snapshot, Price(1_000_000, 0), fallbacks=("other",))
    other = priced(snapshot, Price(3_000_000, 0), max_output_tokens=9_000)
    policy = replace(snapshot, aliases={"small": alias, "other": other})
    usage, cost = widest(all_terms(policy, alias), asked(endpoints.CHAT))
    assert (usage.input_tokens, usage.output_tokens, cost) == (100, 9_000, 300)
