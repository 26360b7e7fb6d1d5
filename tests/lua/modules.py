"""The gateway's Lua modules in LuaJIT, the engine of Envoy's Lua filter: the very files it runs.

Strings cross as bytes. A Lua table comes back as a list (when it is a sequence) or a dict with
text keys; Python mappings and sequences go in as tables.
"""

from pathlib import Path
from typing import Any

from lupa.luajit21 import LuaRuntime, lua_type

SOURCE = Path(__file__).parents[2] / "envoy" / "lua"


class Modules:
    """One LuaJIT state, which loads a module once, as an Envoy worker does."""

    def __init__(self) -> None:
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._lua.globals()[b"package"][b"path"] = str(SOURCE / "?.lua").encode()
        self._require = self._lua.globals()[b"require"]

    def call(self, module: str, function: str, *arguments: object) -> Any:
        """What the module's function returns: a tuple when it is more than one value."""
        result = self._require(module.encode())[function.encode()](*map(self._to_lua, arguments))
        if isinstance(result, tuple):
            return tuple(from_lua(value) for value in result)
        return from_lua(result)

    def raw(self, module: str, function: str, *arguments: object) -> Any:
        """The same, tables left as they are: for an object that keeps state in Lua."""
        return self._require(module.encode())[function.encode()](*map(self._to_lua, arguments))

    def run(self, source: str) -> Any:
        """What a piece of Lua returns, left as it is."""
        return self._lua.execute(source.encode())

    def table(self, value: object) -> Any:
        """A Python mapping or sequence as a Lua table."""
        return self._to_lua(value)

    def _to_lua(self, value: object) -> Any:
        if isinstance(value, dict):
            pairs = {self._to_lua(key): self._to_lua(item) for key, item in value.items()}
            return self._lua.table_from(pairs)
        if isinstance(value, list | tuple):
            return self._lua.table_from([self._to_lua(item) for item in value])
        return value.encode() if isinstance(value, str) else value


def from_lua(value: Any) -> Any:
    """A Lua value as Python's: tables become lists or dicts, and so on downwards."""
    if lua_type(value) != "table":
        return value
    pairs = dict(value.items())
    if list(pairs) == list(range(1, len(pairs) + 1)):
        return [from_lua(item) for item in pairs.values()]
    return {key.decode("utf-8", "surrogateescape"): from_lua(item) for key, item in pairs.items()}
