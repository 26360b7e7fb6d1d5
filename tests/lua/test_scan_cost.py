"""Reading a body takes work in proportion to its length, whatever is in it."""

from __future__ import annotations

import pytest

from tests.lua.modules import Modules

# A search says nothing of how far it looked: so each is counted, up to what it found or the end.
COUNTING = """
searched = 0
local find = string.find
string.find = function(s, pattern, init, plain)
  local first, last = find(s, pattern, init, plain)
  searched = searched + (first or #s + 1) - (init or 1) + 1
  return first, last
end
"""

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


def searched(endpoint: str, body: str) -> int:
    """Bytes that all searches of one reading have looked at."""
    lua = Modules()
    lua.run(COUNTING)
    lua.raw("scan", "read", body, endpoint)
    return int(lua.run("return searched"))


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_times_the_body_is_searched_eight_times_as_far(shape: str) -> None:
    endpoint, body, item = SHAPES[shape]
    small, large = (
        searched(endpoint, body % (item * (size // len(item)))) for size in (25_000, 200_000)
    )
    print(f"{shape}: 25 KB {small} bytes searched, 200 KB {large}")
    assert large < 10 * max(small, 25_000)
