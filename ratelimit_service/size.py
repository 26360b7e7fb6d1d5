"""What a call asks for, as request.lua read it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestSize:
    """What request.lua read in the body.

    `text_bytes` is the body without its media; `max_tokens` what the client asked for, None where
    it did not; `n` the number of choices or pictures. `unbounded` names a parameter that can cost
    more than any count of tokens says, None where there is none; it is from a fixed list, never
    client text. `cache_control`: parts of the prompt are to be kept by the provider, maybe for an
    hour. `service_tier` is empty for the usual one. `characters` are those to be spoken,
    `audio_bytes` those of an uploaded sound, `documents` those to be ranked; `image_variant` is
    "QUALITY SIZE". `continued`: input that the provider keeps comes before that of the body.
    """

    endpoint: str
    text_bytes: int = 0
    media_parts: int = 0
    max_tokens: int | None = None
    n: int = 1
    tools: bool = False
    prediction: bool = False
    unbounded: str | None = None
    cache_control: bool = False
    service_tier: str = ""
    characters: int = 0
    audio_bytes: int = 0
    documents: int = 0
    image_variant: str = ""
    continued: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One call that asks to be admitted.

    `request_id` is Envoy's own, never the client's; empty where Envoy gave none. `policy_version`
    is that of the policy by which authz_service granted it.
    """

    key_id: str
    alias: str
    size: RequestSize
    request_id: str = ""
    policy_version: str = ""
