"""An example of a JSON Schema, its properties in the order of the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 8

_FORMATS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "tok1@example.com",
    "uri": "https://example.com/tok1",
    "uuid": "00000000-0000-4000-8000-000000000001",
}


def example(schema: Mapping[str, Any]) -> Any:
    """A value that fits the schema; not every keyword is known, the usual ones are."""
    return _Example(schema).of(schema, 0)


class _Example:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def of(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return None
        if "$ref" in schema:
            return self.of(self._resolve(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for name in ("anyOf", "oneOf", "allOf"):
            if schema.get(name):
                return self.of(schema[name][0], depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = kind[0]
        if kind == "object":
            properties = schema.get("properties") or {}
            return {name: self.of(value, depth + 1) for name, value in properties.items()}
        if kind == "array":
            count = max(1, int(schema.get("minItems", 1)))
            return [self.of(schema.get("items", {}), depth + 1) for _ in range(count)]
        if kind == "string":
            return _string(schema)
        if kind in ("integer", "number"):
            return schema.get("minimum", 1)
        return True if kind == "boolean" else None

    def _resolve(self, pointer: str) -> Any:
        found: Any = self._root
        for name in pointer.removeprefix("#").strip("/").split("/"):
            if name:
                found = found.get(name, {}) if isinstance(found, dict) else {}
        return found


def _string(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "tok1")
    return text.ljust(int(schema.get("minLength", 0)), "k")
