"""gRPC's core is set up before it is read."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("service", ["authz_service", "ratelimit_service"])
def test_a_service_imports_grpc_only_once_its_core_is_set_up(service: str) -> None:
    assert _python(f"import sys, {service}.__main__; print('grpc' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "-event_engine_listener epoll1"),
        (
            {"GRPC_EXPERIMENTS": "of_the_sre", "GRPC_POLL_STRATEGY": "poll"},
            "of_the_sre,-event_engine_listener epoll1",
        ),
    ],
    ids=["unset", "what an SRE has set besides stays"],
)
def test_the_core_waits_where_the_loop_can_see_it(before: dict[str, str], after: str) -> None:
    code = """
        import os
        from tollhouse.rpc import core
        core.configure()
        print(os.environ["GRPC_EXPERIMENTS"], os.environ["GRPC_POLL_STRATEGY"])
        """
    assert _python(code, **before) == after


def test_setting_it_up_too_late_is_an_error() -> None:
    code = """
        import grpc
        from tollhouse.rpc import core
        try:
            core.configure()
        except RuntimeError as error:
            print(error)
        """
    assert _python(code) == "grpc is imported already, and has read its settings"
