"""A simulated LLM provider: OpenAI's dialect, with faults on demand.

It stands in for a provider whose secret is not set, and is the upstream of the end-to-end tests
and the benchmark. Its answers have the fields that api.openai.com sends (`chat_answer` and
`errors` say what is recorded and what is assumed); token counts are deterministic (`usage`);
faults are asked for by the `x-simulate` header (`directives`) or for later requests through the
control API (`control`).
"""

from tollhouse.simulator.app import create_app as create_app
from tollhouse.simulator.server import run as run
from tollhouse.simulator.settings import Settings as Settings
from tollhouse.simulator.settings import read_keys as read_keys
