"""A taken port is noticed before anything is started."""

from __future__ import annotations

import socket

import pytest

from tollhouse.local.ports import PortBusy, require_free


def test_a_taken_port_is_named_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortBusy) as refused:
            require_free(port)
    assert str(refused.value) == (
        f"port {port} on 127.0.0.1 cannot be used (Address already in use): another gateway may"
        f" be running. Stop it, or choose another: tollhouse up --port {port + 1} (0 picks a free"
        f" one), or make up PORT={port + 1}."
    )


def test_a_port_is_free_again_as_soon_as_nobody_listens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        port = server.getsockname()[1]
        accepted, _ = server.accept()
        accepted.close()  # this end lingers in TIME_WAIT
        assert client.recv(1) == b""
    require_free(port)


def test_port_zero_is_always_free() -> None:
    require_free(0)
