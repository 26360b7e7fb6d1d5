"""python -m tollhouse.simulator"""

from __future__ import annotations

import argparse
from pathlib import Path

from tollhouse.simulator.server import run
from tollhouse.simulator.settings import Settings, read_keys, read_provider


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tollhouse.simulator",
        description="Simulated providers in OpenAI's and Anthropic's dialects, faults included.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free port")
    parser.add_argument("--base-path", default="/v1", help="where the API begins (%(default)s)")
    parser.add_argument("--key", action="append", default=[], help="an accepted key; repeatable")
    parser.add_argument("--key-file", type=Path, help="accepted keys, one a line")
    parser.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="NAME=KEYFILE[,quirk=…][,base=/path]",
        help="one more provider, under /NAME/v1, with its own keys; repeatable",
    )
    parser.add_argument("--models", help="the models that exist, a,b,c; without it, any does")
    parser.add_argument("--ready-file", type=Path, help="where to write the URL, once listening")
    parser.add_argument("--tls-cert", type=Path, help="serve HTTPS with this certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, help="and this private key (PEM)")
    parser.add_argument("--record", action="store_true", help="keep requests for /_simulator")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    from_file = read_keys(options.key_file) if options.key_file else ()
    return Settings(
        keys=(*options.key, *from_file),
        others=tuple(map(read_provider, options.provider)),
        host=options.host,
        port=options.port,
        base_path=options.base_path,
        models=tuple(options.models.split(",")) if options.models else None,
        ready_file=options.ready_file,
        record=options.record,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
    )


def main() -> None:
    """Read the command line and serve; exit 2 when it cannot be done as asked."""
    parser = _parser()
    try:
        run(_settings(parser.parse_args()))
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
