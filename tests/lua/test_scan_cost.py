"""Reading a body takes time in proportion to its length, whatever is in it."""

from __future__ import annotations

import time

import pytest

from tests.lua.modules import Modules

LUA = Modules()
SHAPES = {
    "items": ("responses", '{"model":"a","input":[%s1]}', '{"role":"a"},'),
    "items with escapes": ("responses", '{"model":"a","input":[%s1]}', '{"role":"a","t":"\\n"},'),
    "tools": ("chat/completions", '{"model":"a","tools":[%s1]}', '{"type":"function"},'),
    "pictures": (
        "messages",
        '{"model":"a","messages":[%s1]}',
        '{"source":{"type":"base64","data":"x","data":"y"}},',
    ),
    "escapes": ("responses", '{"model":"a","input":[{"role":"a","c":"%s"}]}', "\\n"),
    "prompts": ("completions", '{"model":"a","prompt":[%s"x"]}', '"x",'),
}


def seconds(endpoint: str, body: str) -> float:
    """The least CPU time of three readings: others use the machine too."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        LUA.raw("scan", "read", body, endpoint)
        taken.append(time.process_time() - begun)
    return min(taken)


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_times_the_body_takes_nothing_like_sixty_four_times_as_long(shape: str) -> None:
    endpoint, body, item = SHAPES[shape]
    small, large = (
        seconds(endpoint, body % (item * (size // len(item)))) for size in (250_000, 2_000_000)
    )
    print(f"{shape}: 0.25 MB {small * 1000:.0f} ms, 2 MB {large * 1000:.0f} ms")
    # Eight times is linear, sixty-four is quadratic; a ratio of one run, so that no clock decides.
    assert large < 24 * max(small, 0.002)
