"""What one request may cost at most: the bound that is reserved before it is sent.

docs/reservation.md gives each item with its reason and source. A bound is a `Usage` of which every
count, total and part, is the most that there can be; parts may add up to more than their total. A
part that costs no more than the rest of its total is not told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ratelimit_service.size import RequestSize
from ratelimit_service.terms import Terms, terms_of
from tollhouse import endpoints
from tollhouse.money import COUNTS, Usage
from tollhouse.policy.compiled import Alias, Org

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


def worst_case(size: RequestSize, terms: Terms) -> Usage:
    """The most that a request of this size can use, whichever deployment of the alias answers."""
    return _BOUNDS.get(size.endpoint, _nothing)(size, terms)


def worst_cost(usage: Usage, terms: Terms) -> int:
    """The nano-dollars that a call with this bound can cost, whichever deployment answers; 0 where
    none has a price."""
    return max([price.most(usage) for price in terms.prices], default=0)


def widest(answering: Sequence[Terms], size: RequestSize) -> tuple[Usage, int]:
    """What is reserved: the bound over the alias and its fallbacks, count by count, and its cost in
    nano-dollars. `answering` are the terms of `terms.all_terms`."""
    bounds = [worst_case(size, each) for each in answering]
    costs = map(worst_cost, bounds, answering)
    return _most_of_each(bounds), max(costs)


def empty_call(alias: Alias, org: Org) -> Usage:
    """What a call without a body would reserve: what every call reserves beside its body."""
    served = alias.endpoints
    endpoint = endpoints.CHAT if endpoints.CHAT in served else min(served)
    size = RequestSize(endpoint, text_bytes=0, media_parts=0, max_tokens=None, n=1)
    return worst_case(size, terms_of(alias, org))


def _most_of_each(bounds: list[Usage]) -> Usage:
    first, *others = bounds
    if not others:
        return first
    counts = {name: max(getattr(each, name) for each in bounds) for name in COUNTS}
    return replace(first, **counts)


def _dearer(terms: Terms, **parts: int) -> dict[str, int]:
    """Those of these parts that are told apart."""
    return {name: parts[name] for name in terms.dearer if name in parts}


def _generated(size: RequestSize, terms: Terms) -> Usage:
    """Text, by way of a prompt and a limit of output tokens for each choice."""
    # OpenAI bills what it rejects of a prediction as output, beyond the cap.
    predicted = terms.has(size.prediction, "prediction")
    rejected = size.text_bytes + terms.added_bytes if predicted else 0
    output = (output_limit(size.max_tokens, terms) + rejected) * size.n
    tokens = _context(size, terms)
    return Usage(
        tokens,
        output,
        audio_milliseconds=_heard(size, terms),
        service_tier=_tier(size, terms),
        image_variant="",
        **(_parts(size, terms, tokens, output) if terms.dearer else {}),
    )


def _parts(size: RequestSize, terms: Terms, tokens: int, output: int) -> dict[str, int]:
    """All input may be written to a cache: where providers do so unasked, or were asked to."""
    asked = terms.has(size.cache_control, "cache_control")
    unasked = endpoints.dialect_of(size.endpoint) == "openai"
    return _dearer(
        terms,
        cache_write_tokens=tokens if asked or unasked else 0,
        cache_write_1h_tokens=tokens if asked else 0,
        **_media(size, terms, tokens),
        output_audio_tokens=output if size.unbounded in ("audio", "modalities") else 0,
        output_image_tokens=output,
    )


def _media(size: RequestSize, terms: Terms, tokens: int) -> dict[str, int]:
    """What of the input may be sound, and what pictures."""
    media = min(_media_tokens(size, terms), tokens)
    return {"input_audio_tokens": media, "input_image_tokens": media}


def _heard(size: RequestSize, terms: Terms) -> int:
    """Milliseconds of sound, where they are charged."""
    if not size.media_parts or not any(price.per_hour for price in terms.prices):
        return 0
    return _media_tokens(size, terms) * _MILLISECONDS_PER_TOKEN


def _context(size: RequestSize, terms: Terms) -> int:
    """Input tokens. The context window bounds each prompt of `completions`, not their sum."""
    bound, window = _input_bound(size, terms), terms.alias.max_input_tokens
    if window is None or size.endpoint == endpoints.COMPLETIONS:
        return bound
    return window if size.continued else min(bound, window)


def _transcribed(size: RequestSize, terms: Terms) -> Usage:
    milliseconds = -(-size.audio_bytes * 8 * 1000 // _LOWEST_BITS_PER_SECOND)
    heard = -(-milliseconds * _TOKENS_PER_SECOND_HEARD // 1000)
    most = terms.alias.max_output_tokens
    return Usage(
        _within(terms.alias.max_input_tokens, size.text_bytes + terms.added_bytes + heard),
        heard if most is None else most,
        audio_milliseconds=milliseconds,
        service_tier=_tier(size, terms),
        image_variant="",
        **_dearer(terms, input_audio_tokens=heard),
    )


def _speech(size: RequestSize, terms: Terms) -> Usage:
    # A body that request.lua did not count has no more characters than bytes.
    characters = size.characters or size.text_bytes
    tokens = characters * _TOKENS_PER_CHARACTER + _TOKENS_OF_A_PAUSE
    tokens = _within(terms.alias.max_output_tokens, tokens)
    return Usage(
        _within(terms.alias.max_input_tokens, size.text_bytes + terms.added_bytes),
        tokens,
        characters=characters,
        service_tier=_tier(size, terms),
        image_variant="",
        **_dearer(terms, output_audio_tokens=tokens),
    )


def _drawn(size: RequestSize, terms: Terms) -> Usage:
    """Pictures; an alias whose pictures are larger says so by `max_output_tokens`."""
    tokens = size.n * (terms.alias.max_output_tokens or _TOKENS_PER_PICTURE)
    bound = _input_bound(size, terms)
    return Usage(
        bound,
        tokens,
        images=size.n,
        service_tier=_tier(size, terms),
        # A default of the policy is not in what the client asked for: any variant may be drawn.
        image_variant="" if terms.has(False, "quality", "size") else size.image_variant,
        **_dearer(terms, **_media(size, terms, bound), output_image_tokens=tokens),
    )


def _ranked(size: RequestSize, terms: Terms) -> Usage:
    """Searches, and tokens. Where tokens are charged, the query counts with every document."""
    chunks = size.documents + size.text_bytes / _TOKENS_PER_DOCUMENT
    by_tokens = any(price.input for price in terms.prices)
    times = max(size.documents, 1) if by_tokens else 1
    return Usage(
        _input_bound(size, terms) * times,
        0,
        search_units=max(math.ceil(chunks / _DOCUMENTS_PER_SEARCH), 1),
        service_tier=_tier(size, terms),
    )


def _embedded(size: RequestSize, terms: Terms) -> Usage:
    """Input alone. The context window bounds each text of an embeddings call, not their sum."""
    bound = _input_bound(size, terms)
    parts = _dearer(terms, **_media(size, terms, bound))
    return Usage(bound, 0, service_tier="", image_variant="", **parts)


def _nothing(size: RequestSize, terms: Terms) -> Usage:
    """Calls whose body nobody reads, whose tokens cost nothing, or whose answer was paid for."""
    return Usage(0, 0)


_BOUNDS: Mapping[str, Callable[[RequestSize, Terms], Usage]] = {
    **dict.fromkeys(endpoints.GENERATING, _generated),
    **dict.fromkeys((endpoints.EMBEDDINGS, endpoints.MODERATIONS), _embedded),
    **dict.fromkeys((endpoints.TRANSCRIPTIONS, endpoints.TRANSLATIONS), _transcribed),
    **dict.fromkeys((endpoints.IMAGES, endpoints.IMAGE_EDITS), _drawn),
    endpoints.SPEECH: _speech,
    endpoints.RERANK: _ranked,
}


def _input_bound(size: RequestSize, terms: Terms) -> int:
    bound = size.text_bytes + terms.added_bytes + _media_tokens(size, terms)
    tools = terms.has(size.tools, "tools", "functions")
    return bound + terms.alias.max_tokens_for_tools if tools else bound


def _media_tokens(size: RequestSize, terms: Terms) -> int:
    return size.media_parts * terms.alias.max_tokens_per_media


def _within(limit: int | None, bound: int) -> int:
    return bound if limit is None else min(bound, limit)


def _tier(size: RequestSize, terms: Terms) -> str:
    """The service tier that the body asks for: the client's, or a default."""
    return size.service_tier or terms.service_tier


def output_limit(asked: int | None, terms: Terms) -> int:
    """Output tokens a choice may have: the same rule by which splice.lua writes the body."""
    if asked is None:
        return terms.unstated_output
    return _within(terms.alias.max_output_tokens, asked)
