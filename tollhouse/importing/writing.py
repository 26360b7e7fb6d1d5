"""Policy files as people would write them: short mappings on one line, a comment where a thing came
from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from tollhouse.importing.notes import plain

_WIDEST = 96


class Block(dict[str, Any]):
    """A mapping that stands on lines of its own, however short. `comments` go before its keys."""

    def __init__(self, data: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> None:
        super().__init__(data)
        self.comments = comments or {}


class Entries(list[dict[str, Any]]):
    """A list of mappings, one below the other. `comments` go before them, by position."""

    def __init__(
        self, data: list[dict[str, Any]], comments: Mapping[int, str] | None = None
    ) -> None:
        super().__init__(data)
        self.comments = comments or {}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _decimal(dumper: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    written = f"{value:f}"
    kind = "float" if "." in written else "int"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", written)


def _moment(dumper: yaml.SafeDumper, value: datetime) -> yaml.ScalarNode:
    written = value.isoformat().replace("+00:00", "Z")
    return dumper.represent_scalar("tag:yaml.org,2002:timestamp", written)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    # In quotes of the other kind a line break would be one in the file, too.
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"'
    )


_Dumper.add_representer(Block, yaml.SafeDumper.represent_dict)
_Dumper.add_representer(Entries, yaml.SafeDumper.represent_list)
_Dumper.add_representer(str, _text)
_Dumper.add_representer(Decimal, _decimal)
_Dumper.add_representer(datetime, _moment)


def inline(value: Any) -> str:
    """A value on one line."""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        default_flow_style=True,
        width=10**9,
        sort_keys=False,
        allow_unicode=True,
    )
    return str(text).removesuffix("\n...\n").removesuffix("\n")


def document(data: Block, heading: str) -> str:
    """A whole file."""
    return "\n".join([*_comment(heading, ""), *_block(data, ""), ""])


def _comment(text: str, indent: str) -> Iterator[str]:
    if text:
        yield f"{indent}# {plain(text)}"


def _block(data: Mapping[str, Any], indent: str) -> Iterator[str]:
    comments = data.comments if isinstance(data, Block) else {}
    for key, value in data.items():
        yield from _comment(comments.get(key, ""), indent)
        if isinstance(value, Entries):
            yield f"{indent}{inline(key)}:"
            yield from _entries(value, f"{indent}  ")
        elif (isinstance(value, Block) and value) or (
            isinstance(value, dict) and not _fits(key, value, indent)
        ):
            yield f"{indent}{inline(key)}:"
            yield from _block(value, f"{indent}  ")
        else:
            yield f"{indent}{inline(key)}: {inline(value)}"


def _fits(key: str, value: dict[str, Any], indent: str) -> bool:
    return not value or len(f"{indent}{key}: {inline(value)}") <= _WIDEST


def _entries(entries: Entries, indent: str) -> Iterator[str]:
    for position, entry in enumerate(entries):
        yield from _comment(entries.comments.get(position, ""), indent)
        first, *rest = _block(entry, f"{indent}  ")
        yield f"{indent}- {first.lstrip()}"
        yield from rest


def write(files: Mapping[str, str], out: Path) -> None:
    """Writes the files of a new directory.

    Raises:
        OSError: they cannot be written.
    """
    for name, text in files.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
