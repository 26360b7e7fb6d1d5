"""Reads a LiteLLM config and key exports as plain data, numbers exact."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from tollhouse.importing.values import listing, mapping, texts

_PLAIN = re.compile(r"[-+]?[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?")


class SourceError(Exception):
    """A file that cannot be read; the message names the place and never repeats its text."""


class _Loader(yaml.SafeLoader):
    """YAML as LiteLLM reads it, but that no number passes through a float."""


def _number(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> object:
    written = node.value.replace("_", "")
    return _exact(written) if _PLAIN.fullmatch(written) else written


def _exact(written: str) -> Decimal | str:
    # Written out, 1e999999999 would fill the disk: such a number stays text.
    found = Decimal(written)
    return found if abs(found.adjusted()) < 50 else written


def _text(_loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:float", _number)
# A config has no use for dates, and a model may be named like one.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _text)


def read_config(path: Path) -> dict[str, Any]:
    """A config, with the files that it includes.

    Raises:
        SourceError: a file cannot be read, or is not a LiteLLM config.
    """
    config = _config(path)
    for name in texts(config.get("include")):
        for key, value in _config(path.parent / name).items():
            both = [*listing(config.get(key)), *listing(value)]
            config[key] = both if isinstance(value, list) else value
    if not listing(config.get("model_list")):
        raise SourceError(f"{path}: not a LiteLLM config: it has no model_list")
    return config


def _config(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(_read(path), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SourceError(f"{path}{place}: not valid YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise SourceError(f"{path}: not valid YAML") from None
    if not isinstance(data, dict):
        raise SourceError(f"{path}: not a LiteLLM config: it is not a mapping")
    return mapping(data)


def read_export(path: Path) -> Any:
    """One JSON document.

    Raises:
        SourceError: the file cannot be read, or is not JSON.
    """
    try:
        return json.loads(_read(path), parse_float=_exact, parse_constant=str)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        raise SourceError(f"{place}: not valid JSON: {error.msg}") from None
    except (ValueError, ArithmeticError, RecursionError):
        raise SourceError(f"{path}: not valid JSON") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{path}: not UTF-8 text") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
