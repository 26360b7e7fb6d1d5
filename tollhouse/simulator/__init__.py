"""Simulated LLM providers: OpenAI's and Anthropic's dialects, others' quirks, faults on demand.

They stand in for providers whose secret is not set, and are the upstream of the end-to-end tests
and the benchmark. Answers have the fields that the real providers send (each module says where
they are documented, and what is assumed); token counts are deterministic (`usage`); faults are
asked for by the `x-simulate` header (`directives`) or for later requests through the control API
(`control`). `quirks` is the table of how providers differ; `--provider` plays several at once, and
`books.leaks` notes each key that reaches another provider.
"""

from tollhouse.simulator.app import create_app as create_app
from tollhouse.simulator.server import run as run
from tollhouse.simulator.settings import Settings as Settings
from tollhouse.simulator.settings import read_keys as read_keys
