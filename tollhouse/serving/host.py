"""Runs one gRPC service from start to stop: the part of a composition root that both share."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from collections.abc import Callable

import grpc
from prometheus_client import CollectorRegistry

from tollhouse.rpc.server import Server
from tollhouse.serving.errors import ServiceError
from tollhouse.serving.health import Health
from tollhouse.serving.http import SideDoor
from tollhouse.serving.options import Options
from tollhouse.serving.readiness import Readiness

log = logging.getLogger("tollhouse.serving")

# Envoy keeps one connection per worker and sends thousands of calls over it.
_CHANNEL_OPTIONS = [
    ("grpc.so_reuseport", 0),  # two services on one port is a mistake, not a load balancer
    ("grpc.max_concurrent_streams", 100_000),
    ("grpc.max_receive_message_length", 16 << 20),
    # Envoy's health checks are pings without calls, which the default takes for an attack.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
]
_STOP_GRACE_SECONDS = 2.0


async def serve(
    options: Options,
    register: Callable[[Server], None],
    registry: CollectorRegistry,
    readiness: Readiness,
    policy: Callable[[], object],
) -> None:
    """Serves until SIGTERM or SIGINT; `policy` makes what /policy says.

    Raises ServiceError when an address cannot be used.
    """
    server = Server(_CHANNEL_OPTIONS)
    register(server)
    health = Health(readiness)
    health.register(server)
    _bind(server, options)
    side_door = open_side_door(options, registry, readiness, policy)
    stop = stop_on_signal()
    server.start()
    side_door.start()
    try:
        say_ready(options, side_door)
        await stop.wait()
    finally:
        log.info("stopping")
        health.stop()
        await server.stop(_STOP_GRACE_SECONDS)
        side_door.stop()


def _bind(server: Server, options: Options) -> None:
    try:
        _listen(server, options)
    except OSError as error:  # a TLS file or a folder that is missing; in use
        raise ServiceError(f"cannot listen on {options.listen}: {error}") from None


def _listen(server: Server, options: Options) -> None:
    credentials = _credentials(options)
    if credentials is None and not options.listen.startswith("unix:"):
        raise ServiceError(
            f"{options.listen} is a network address: give --tls-ca, --tls-cert and --tls-key "
            "(Envoy and this service then check each other), or listen on unix:/path."
        )
    # gRPC replaces a socket that a killed service left behind, and nothing that is not a socket.
    server.listen(options.listen, credentials)


def _credentials(options: Options) -> grpc.ServerCredentials | None:
    files = (options.tls_ca, options.tls_cert, options.tls_key)
    if not any(files):
        return None
    if options.tls_ca is None or options.tls_cert is None or options.tls_key is None:
        raise ServiceError("--tls-ca, --tls-cert and --tls-key go together: give all three")
    ca, cert, key = options.tls_ca, options.tls_cert, options.tls_key

    def configuration() -> grpc.ServerCertificateConfiguration:
        # Read at every handshake: a renewed certificate needs no restart.
        return grpc.ssl_server_certificate_configuration(
            [(key.read_bytes(), cert.read_bytes())], root_certificates=ca.read_bytes()
        )

    return grpc.dynamic_ssl_server_credentials(
        configuration(), configuration, require_client_authentication=True
    )


def open_side_door(
    options: Options,
    registry: CollectorRegistry,
    readiness: Readiness,
    policy: Callable[[], object],
) -> SideDoor:
    """Metrics, health and /policy. Raises ServiceError when the address cannot be used."""
    host, _, port = options.metrics.rpartition(":")
    try:
        if not host:  # to the system that means every interface
            raise ValueError("write host:port, with 0.0.0.0 for every interface")
        return SideDoor(host, int(port), registry, readiness, policy)
    except (OSError, OverflowError, ValueError) as error:
        raise ServiceError(f"cannot serve metrics on {options.metrics}: {error}") from None


def say_ready(options: Options, side_door: SideDoor) -> None:
    """To the log, and to whoever waits for the ready file."""
    log.info("listening", extra={"fields": {"listen": options.listen, "metrics": side_door.url}})
    if options.ready_file is not None:
        temporary = options.ready_file.with_suffix(".tmp")
        temporary.write_text(json.dumps({"metrics": side_door.url, "pid": os.getpid()}))
        temporary.replace(options.ready_file)


def stop_on_signal() -> asyncio.Event:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    return stop
