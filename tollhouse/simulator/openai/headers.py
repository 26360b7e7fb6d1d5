"""The response headers of api.openai.com behind its CDN: what a gateway must not pass on."""

from __future__ import annotations

import uuid

from tollhouse.simulator.reply import Header

_CONSTANT: tuple[Header, ...] = (
    (b"openai-organization", b"org-simulated"),
    (b"openai-project", b"proj_simulated"),
    (b"openai-version", b"2020-10-01"),
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-limit-tokens", b"2000000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-remaining-tokens", b"1999956"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-reset-tokens", b"1ms"),
    (b"x-openai-proxy-wasm", b"v0.1"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"),
    (b"x-content-type-options", b"nosniff"),
    (b"cf-cache-status", b"DYNAMIC"),
    (b"server", b"cloudflare"),
    (b"alt-svc", b'h3=":443"; ma=86400'),
)


def provider_headers(processing_ms: int) -> list[Header]:
    """All headers but those of the body."""
    unique = uuid.uuid4().hex.encode()
    cookie = b"__cf_bm=%b; path=/; HttpOnly; Secure; SameSite=None" % unique
    return [
        *_CONSTANT,
        (b"openai-processing-ms", b"%d" % processing_ms),
        (b"x-request-id", b"req_" + unique),
        (b"cf-ray", unique[:16] + b"-SIM"),
        (b"set-cookie", cookie),
    ]
