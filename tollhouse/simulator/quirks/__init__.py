"""Providers that are not quite OpenAI: the table of their quirks, each with its source.

"default" takes a key in either header and serves every dialect, for tests that need no more.
"""

from __future__ import annotations

from tollhouse.simulator.quirks import small
from tollhouse.simulator.quirks.azure import AZURE
from tollhouse.simulator.quirks.google import GEMINI
from tollhouse.simulator.quirks.groq import GROQ
from tollhouse.simulator.quirks.mistral import MISTRAL
from tollhouse.simulator.quirks.openrouter import OPENROUTER
from tollhouse.simulator.quirks.quirk import Quirk as Quirk

QUIRKS = {
    "default": Quirk("none", key_headers=("authorization", "api-key"), messages=True),
    "openai": Quirk("platform.openai.com/docs/api-reference"),
    "anthropic": Quirk("docs.claude.com/en/api/openai-sdk (chat with a bearer)", messages=True),
    "azure": AZURE,
    "bedrock": small.BEDROCK,
    "cohere": small.COHERE,
    "deepseek": small.DEEPSEEK,
    "gemini": GEMINI,
    "groq": GROQ,
    "jina": small.JINA,
    "mistral": MISTRAL,
    "ollama": small.OLLAMA,
    "openrouter": OPENROUTER,
    "together": small.TOGETHER,
    "vllm": small.VLLM,
    "xai": small.XAI,
}
