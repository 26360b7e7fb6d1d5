"""python -m ratelimit_service --redis-url redis://host --listen unix:/path"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvloop

from ratelimit_service.spool import StateError
from tollhouse.policy.problems import PolicyError
from tollhouse.rpc import core
from tollhouse.serving import logs, options
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.source import SourceError

REDIS_URL = "REDIS_URL"
_LOCAL_REDIS = "redis://127.0.0.1:6379/0"


def main() -> int:
    parse = options.parser("ratelimit_service", "Envoy rate limits and settlement, in Redis")
    parse.add_argument(
        "--redis-url",
        # Not shown as a default: an address may have a password in it.
        default=argparse.SUPPRESS,
        help=f"redis://, rediss:// or unix:// (default: the environment's {REDIS_URL}, or local)",
    )
    parse.add_argument(
        "--state-dir",
        type=Path,
        help="where entries wait that Redis does not take, and which ledger it had; "
        "a folder for each replica",
    )
    arguments = parse.parse_args()
    redis_url = getattr(arguments, "redis_url", os.environ.get(REDIS_URL, _LOCAL_REDIS))
    chosen = options.common(arguments)
    logs.configure(chosen.log_level)
    core.configure()
    from ratelimit_service.root import run  # noqa: PLC0415 - imports grpc

    try:
        uvloop.run(run(chosen, redis_url, arguments.state_dir))
    except (PolicyError, ServiceError, SourceError, StateError) as error:
        print(f"ratelimit_service: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
