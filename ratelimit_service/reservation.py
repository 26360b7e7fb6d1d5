"""What one request may cost at most: the bound that is reserved before it is sent.

docs/reservation.md gives each item with its reason and source. A bound is a `Usage` of which every
count, total and part, is the most that there can be; parts may add up to more than their total. A
part that costs no more than the rest of its total is not told apart.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

from ratelimit_service.size import RequestSize
from tollhouse import endpoints
from tollhouse.money import COUNTS, PARTS, Price, Usage
from tollhouse.policy.compiled import Alias, Org, Snapshot

# Opus, the most frugal codec that providers take, goes down to 6 kbit/s: RFC 6716, section 2.1.1.
_LOWEST_BITS_PER_SECOND = 6_000
# Gemini counts 32 tokens for a second of sound (ai.google.dev/gemini-api/docs/audio), OpenAI ten;
# nobody speaks faster than that, whatever the language.
_TOKENS_PER_SECOND_HEARD = 32
# Voxtral hears 12.5 tokens a second (arxiv.org/abs/2507.13264): what the bound of one medium lasts.
_MILLISECONDS_PER_TOKEN = 80
# OpenAI makes a token for 50 ms of speech, and two characters a second are very slow speech.
_TOKENS_PER_CHARACTER = 10
_TOKENS_OF_A_PAUSE = 200
# A picture of 1024x1536 in high quality, and three partial ones of it, 100 each:
# platform.openai.com/docs/guides/image-generation, "Cost and latency".
_TOKENS_PER_PICTURE = 6_240 + 3 * 100
# docs.cohere.com/docs/rerank-overview: up to 100 documents are one search, and a document is split
# where it has more than 500 tokens.
_DOCUMENTS_PER_SEARCH = 100
_TOKENS_PER_DOCUMENT = 500


def worst_case(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """The most that a request of this size can use, whichever deployment of the alias answers."""
    bound = _BOUNDS.get(size.endpoint, _nothing)(size, alias, org)
    cheap = PARTS - _dearer_parts(alias)
    counts = bound.counts() | dict.fromkeys(cheap, 0)
    return Usage(**counts, service_tier=bound.service_tier, image_variant=bound.image_variant)


def worst_cost(usage: Usage, alias: Alias) -> int:
    """The nano-dollars that a call with this bound can cost, whichever deployment answers; 0 where
    none has a price."""
    prices = (each.price for each in alias.deployments)
    return max((price.most(usage) for price in prices if price), default=0)


def answering(snapshot: Snapshot, alias: Alias) -> list[Alias]:
    """The aliases whose deployments may answer a call: its own, then the fallbacks."""
    return [alias, *(snapshot.aliases[name] for name in alias.fallbacks)]


def widest(snapshot: Snapshot, alias: Alias, size: RequestSize) -> tuple[Usage, int]:
    """What is reserved: the bound over the alias and its fallbacks, count by count, and its cost in
    nano-dollars."""
    bounds = [(worst_case(size, each, snapshot.org), each) for each in answering(snapshot, alias)]
    cost = max(worst_cost(usage, each) for usage, each in bounds)
    return _most_of_each([usage for usage, _ in bounds]), cost


def empty_call(alias: Alias, org: Org) -> Usage:
    """What a call without a body would reserve: what every call reserves beside its body."""
    served = alias.endpoints
    endpoint = endpoints.CHAT if endpoints.CHAT in served else min(served)
    size = RequestSize(endpoint, text_bytes=0, media_parts=0, max_tokens=None, n=1)
    return worst_case(size, alias, org)


def _dearer_parts(alias: Alias) -> frozenset[str]:
    prices = (each.price for each in alias.deployments)
    return frozenset().union(*(_dearer_at(price) for price in prices if price))


@lru_cache(maxsize=4096)
def _dearer_at(price: Price) -> frozenset[str]:
    return price.dearer_parts()


def _most_of_each(bounds: list[Usage]) -> Usage:
    first, *others = bounds
    if not others:
        return first
    counts = {name: max(getattr(each, name) for each in bounds) for name in COUNTS}
    return replace(first, **counts)


def _generated(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """Text, by way of a prompt and a limit of output tokens for each choice."""
    # OpenAI bills what it rejects of a prediction as output, beyond the cap.
    rejected = size.text_bytes + _bytes(alias) if _has(size.prediction, alias, "prediction") else 0
    output = (output_limit(size.max_tokens, alias, org) + rejected) * size.n
    usage = Usage(
        _context(size, alias),
        output,
        output_audio_tokens=output if size.unbounded in ("audio", "modalities") else 0,
        output_image_tokens=output,
        audio_milliseconds=_heard(size, alias),
        service_tier=_tier(size, alias),
    )
    return _with_media(_with_cache(usage, size, alias), size, alias)


def _heard(size: RequestSize, alias: Alias) -> int:
    """Milliseconds of sound, where they are charged."""
    by_the_hour = any(each.price and each.price.per_hour for each in alias.deployments)
    return _media_tokens(size, alias) * _MILLISECONDS_PER_TOKEN if by_the_hour else 0


def _context(size: RequestSize, alias: Alias) -> int:
    """Input tokens. The context window bounds each prompt of `completions`, not their sum."""
    bound, window = _input_bound(size, alias), alias.max_input_tokens
    if window is None or size.endpoint == endpoints.COMPLETIONS:
        return bound
    return window if size.continued else min(bound, window)


def _with_cache(usage: Usage, size: RequestSize, alias: Alias) -> Usage:
    """All input may be written to a cache: where providers do so unasked, or were asked to."""
    asked = _has(size.cache_control, alias, "cache_control")
    unasked = endpoints.dialect_of(size.endpoint) == "openai"
    return replace(
        usage,
        cache_write_tokens=usage.input_tokens if asked or unasked else 0,
        cache_write_1h_tokens=usage.input_tokens if asked else 0,
    )


def _with_media(usage: Usage, size: RequestSize, alias: Alias) -> Usage:
    media = min(_media_tokens(size, alias), usage.input_tokens)
    return replace(usage, input_audio_tokens=media, input_image_tokens=media)


def _transcribed(size: RequestSize, alias: Alias, org: Org) -> Usage:
    milliseconds = -(-size.audio_bytes * 8 * 1000 // _LOWEST_BITS_PER_SECOND)
    heard = -(-milliseconds * _TOKENS_PER_SECOND_HEARD // 1000)
    said = heard if alias.max_output_tokens is None else alias.max_output_tokens
    return Usage(
        _within(alias.max_input_tokens, size.text_bytes + _bytes(alias) + heard),
        said,
        input_audio_tokens=heard,
        audio_milliseconds=milliseconds,
        service_tier=_tier(size, alias),
    )


def _speech(size: RequestSize, alias: Alias, org: Org) -> Usage:
    # A body that request.lua did not count has no more characters than bytes.
    characters = size.characters or size.text_bytes
    tokens = characters * _TOKENS_PER_CHARACTER + _TOKENS_OF_A_PAUSE
    tokens = _within(alias.max_output_tokens, tokens)
    return Usage(
        _within(alias.max_input_tokens, size.text_bytes + _bytes(alias)),
        tokens,
        output_audio_tokens=tokens,
        characters=characters,
        service_tier=_tier(size, alias),
    )


def _drawn(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """Pictures; an alias whose pictures are larger says so by `max_output_tokens`."""
    tokens = size.n * (alias.max_output_tokens or _TOKENS_PER_PICTURE)
    # A default of the policy is not in what the client asked for: any variant may be drawn.
    variant = "" if _has(False, alias, "quality", "size") else size.image_variant
    usage = Usage(
        _input_bound(size, alias),
        tokens,
        output_image_tokens=tokens,
        images=size.n,
        service_tier=_tier(size, alias),
        image_variant=variant,
    )
    return _with_media(usage, size, alias)


def _ranked(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """Searches, and tokens. Where tokens are charged, the query counts with every document."""
    chunks = size.documents + size.text_bytes / _TOKENS_PER_DOCUMENT
    by_tokens = any(each.price and each.price.input for each in alias.deployments)
    times = max(size.documents, 1) if by_tokens else 1
    return Usage(
        _input_bound(size, alias) * times,
        0,
        search_units=max(math.ceil(chunks / _DOCUMENTS_PER_SEARCH), 1),
        service_tier=_tier(size, alias),
    )


def _embedded(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """Input alone. The context window bounds each text of an embeddings call, not their sum."""
    return _with_media(Usage(_input_bound(size, alias), 0), size, alias)


def _nothing(size: RequestSize, alias: Alias, org: Org) -> Usage:
    """Calls whose body nobody reads, whose tokens cost nothing, or whose answer was paid for."""
    return Usage(0, 0)


_BOUNDS: Mapping[str, Callable[[RequestSize, Alias, Org], Usage]] = {
    **dict.fromkeys(endpoints.GENERATING, _generated),
    **dict.fromkeys((endpoints.EMBEDDINGS, endpoints.MODERATIONS), _embedded),
    **dict.fromkeys((endpoints.TRANSCRIPTIONS, endpoints.TRANSLATIONS), _transcribed),
    **dict.fromkeys((endpoints.IMAGES, endpoints.IMAGE_EDITS), _drawn),
    endpoints.SPEECH: _speech,
    endpoints.RERANK: _ranked,
}


def _input_bound(size: RequestSize, alias: Alias) -> int:
    tools = _has(size.tools, alias, "tools", "functions")
    return (
        size.text_bytes
        + _bytes(alias)
        + _media_tokens(size, alias)
        + (alias.max_tokens_for_tools if tools else 0)
    )


def _media_tokens(size: RequestSize, alias: Alias) -> int:
    return size.media_parts * alias.max_tokens_per_media


def _within(limit: int | None, bound: int) -> int:
    return bound if limit is None else min(bound, limit)


def _tier(size: RequestSize, alias: Alias) -> str:
    """The service tier that the body asks for: the client's, or a default."""
    return size.service_tier or str(json.loads(alias.defaults.get("service_tier", '""')))


def _has(told: bool, alias: Alias, *names: str) -> bool:
    """Whether the body that is sent has such a parameter: the client's, or a default."""
    return told or any(name in alias.defaults for name in names)


def _bytes(alias: Alias) -> int:
    """Bytes that the alias's defaults add to a body at most: `,"name":value` each."""
    return sum(len(name) + len(text.encode()) + 4 for name, text in alias.defaults.items())


def output_limit(asked: int | None, alias: Alias, org: Org) -> int:
    """Output tokens a choice may have: the same rule by which splice.lua writes the body."""
    if asked is None:
        return alias.max_output_tokens or org.default_max_output_tokens
    return asked if alias.max_output_tokens is None else min(asked, alias.max_output_tokens)
