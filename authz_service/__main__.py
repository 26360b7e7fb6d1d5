"""python -m authz_service --policies policies --listen unix:/run/tollhouse/authz.sock"""

from __future__ import annotations

import sys

import uvloop

from tollhouse.policy.problems import PolicyError
from tollhouse.rpc import core
from tollhouse.serving import logs, options
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.source import SourceError


def main() -> int:
    parse = options.parser("authz_service", "Envoy ext_authz: may this key call this alias?")
    chosen = options.common(parse.parse_args())
    logs.configure(chosen.log_level)
    core.configure()
    from authz_service.root import run  # noqa: PLC0415 - imports grpc

    try:
        uvloop.run(run(chosen))
    except (PolicyError, ServiceError, SourceError) as error:
        print(f"authz_service: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
