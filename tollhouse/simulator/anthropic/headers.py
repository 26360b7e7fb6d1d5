"""Anthropic's response headers: docs.claude.com/en/api/rate-limits, and its CDN's."""

from __future__ import annotations

import uuid

from tollhouse.simulator.reply import Header

_RESET = b"2026-11-28T12:00:00Z"
_LIMITS = ((b"requests", 4000), (b"tokens", 480_000), (b"input-tokens", 400_000))

_CONSTANT: tuple[Header, ...] = (
    *(
        header
        for name, limit in (*_LIMITS, (b"output-tokens", 80_000))
        for header in (
            (b"anthropic-ratelimit-%b-limit" % name, b"%d" % limit),
            (b"anthropic-ratelimit-%b-remaining" % name, b"%d" % (limit - 1)),
            (b"anthropic-ratelimit-%b-reset" % name, _RESET),
        )
    ),
    (b"anthropic-organization-id", b"00000000-0000-4000-8000-00000000a000"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
    (b"x-robots-tag", b"none"),
    (b"via", b"1.1 google"),
    (b"cf-cache-status", b"DYNAMIC"),
    (b"server", b"cloudflare"),
)


def provider_headers(_processing_ms: int) -> list[Header]:
    """All headers but those of the body."""
    unique = uuid.uuid4().hex.encode()
    return [
        *_CONSTANT,
        (b"request-id", b"req_" + unique[:24]),
        (b"cf-ray", unique[:16] + b"-SIM"),
    ]
