"""Posted fields as requests of the use cases, and back into the form when they are refused. Pure.

Inputs are named as the fields of the API are, dotted, so that a refusal finds its input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from console.pages.views.labels import in_words
from console.problems import ManageError
from console.shapes.keys import KeyView
from console.shapes.limits import Limits
from console.shapes.models import ModelView
from tollhouse.endpoints import Checked, Unchecked

LIMITS: Final = tuple(name for name in Limits.model_fields if name != "budget_mode")
PRICES: Final = ("input_per_million", "output_per_million", "cached_input_per_million")
CHECKED: Final = get_args(Checked)
UNCHECKED: Final = get_args(Unchecked)
EXPIRES: Final = (
    ("", "Never"),
    ("7d", "In 7 days"),
    ("30d", "In 30 days"),
    ("90d", "In 90 days"),
    ("180d", "In 180 days"),
    ("365d", "In a year"),
    ("date", "On a day"),
)
OVERLAPS: Final = (
    ("0", "At once"),
    ("1h", "1 hour"),
    ("24h", "1 day"),
    ("7d", "7 days"),
    ("30d", "30 days"),
)

Posted = Mapping[str, list[str]]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}")
_APART = re.compile(r"(?<=\d)[, _](?=\d{3}(?!\d))")


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it is shown: what was typed, and what was wrong with it."""

    values: Mapping[str, list[str]]
    error: ManageError | None = None

    def text(self, name: str) -> str:
        """What an input holds."""
        return (self.values.get(name) or [""])[0]

    def has(self, name: str, value: str) -> bool:
        """Whether a box is ticked."""
        return value in self.values.get(name, ())

    def wrong(self, name: str) -> str | None:
        """What is wrong with an input."""
        if self.error is None or self.error.param is None:
            return None
        param = self.error.param
        return self.error.message if param == name or param.startswith(f"{name}.") else None


@dataclass(frozen=True, slots=True)
class Refused:
    """What a form of a page asked for, and why it was not done. `action`: which of its forms."""

    filled: Filled
    error: ManageError
    action: str


def text(posted: Posted, name: str) -> str | None:
    """None where nothing was typed."""
    return (posted.get(name) or [""])[0].strip() or None


def name(posted: Posted, field: str) -> str:
    """What the audit log calls something that may not be made; "?" for what is no name."""
    typed = text(posted, field)
    return typed if typed and _NAME.fullmatch(typed) else "?"


def listed(posted: Posted, name: str) -> list[str]:
    """Names apart by commas, spaces or lines; or of ticked boxes."""
    return [each for value in posted.get(name, ()) for each in re.split(r"[,\s]+", value) if each]


def whole(typed: str | None) -> int | str | None:
    """A number as people write it, "60,000"; else what was typed, to be refused."""
    if typed is None:
        return None
    bare = _APART.sub("", typed)
    return int(bare) if bare.isascii() and bare.isdecimal() and len(bare) < 19 else typed


def money(typed: str | None) -> str | None:
    """USD as people write it, "$1,500.50"."""
    return None if typed is None else _APART.sub("", typed.removeprefix("$").strip())


def limits(posted: Posted) -> dict[str, int | str | None]:
    """All of them; None where nothing was typed."""
    return {name: _limit(name, text(posted, f"limits.{name}")) for name in LIMITS}


def said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None."""
    return {name: value for name, value in fields.items() if value is not None}


def expires(posted: Posted) -> str | None:
    """None: never."""
    chosen = text(posted, "expires")
    return text(posted, "expires_date") or "" if chosen == "date" else chosen


def key_create(posted: Posted) -> dict[str, Any]:
    """The fields of KeyCreate."""
    return said(
        {
            "team": text(posted, "team"),
            "project": text(posted, "project"),
            "id": text(posted, "id"),
            "env": text(posted, "env"),
            "allowed_models": _models(posted),
            "limits": said(limits(posted)),
            "expires": expires(posted),
            "metadata": said({"owner": text(posted, "metadata.owner")}),
        }
    )


def key_patch(posted: Posted) -> dict[str, Any]:
    """The fields of KeyPatch: all that the form has; None takes away."""
    fields: dict[str, Any] = {
        "env": text(posted, "env"),
        "allowed_models": _models(posted),
        "limits": limits(posted),
        "metadata": {"owner": text(posted, "metadata.owner")},
    }
    if text(posted, "expires") != "keep":
        fields["expires"] = expires(posted)
    return fields


def key_values(view: KeyView) -> dict[str, list[str]]:
    """A key as the form to change it holds it."""
    allowed = view.allowed_models
    return {
        "env": [view.env or ""],
        "models": ["all" if allowed is None else "some"],
        "allowed_models": list(allowed or ()),
        "expires": ["keep"],
        "metadata.owner": [str(view.metadata.get("owner", ""))],
        **limit_values(view.limits),
    }


def limit_values(written: Limits) -> dict[str, list[str]]:
    """Limits as inputs hold them."""
    return {
        f"limits.{name}": [_written(value)]
        for name in LIMITS
        if (value := getattr(written, name)) is not None
    }


def model_fields(posted: Posted) -> dict[str, Any]:
    """The fields of ModelCreate and ModelPatch that the form has; None: the default."""
    return {
        "provider": text(posted, "provider"),
        "model": text(posted, "model"),
        "description": text(posted, "description"),
        "endpoints": sorted(listed(posted, "endpoints")) or None,
        "max_output_tokens": whole(text(posted, "max_output_tokens")),
        "max_input_tokens": whole(text(posted, "max_input_tokens")),
        "tags": listed(posted, "tags"),
        "limits": limits(posted),
        "price": _price(posted),
    }


def model_patch(posted: Posted, view: ModelView) -> dict[str, Any]:
    """The fields of ModelPatch that differ from what the form was shown with: what it does not
    show, and defaults that nobody touched, stay as they are written."""
    shown, typed = model_fields(model_values(view)), model_fields(posted)
    changed = _differing(shown, typed)
    if "limits" in changed:
        changed["limits"] = _differing(shown["limits"], typed["limits"])
    if "price" in changed:
        changed["price"] = _price_change(shown["price"] or {}, typed["price"], view)
    return changed


def _price_change(
    shown: dict[str, Any], typed: dict[str, Any] | None, view: ModelView
) -> dict[str, Any] | None:
    """None, the public price list, only where nothing else is charged."""
    stated = view.stated_price.asked if view.stated_price else {}
    if typed is None and not stated.keys() - shown.keys():
        return None
    return _differing(shown, dict.fromkeys(shown) | (typed or {}))


def _differing(shown: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in typed.items() if shown.get(name) != value}


def model_create(posted: Posted) -> dict[str, Any]:
    """Of a new alias."""
    fields = model_fields(posted)
    return said({"alias": text(posted, "alias"), **fields, "limits": said(fields["limits"])})


def model_values(view: ModelView) -> dict[str, list[str]]:
    """A model as the form to change it holds it."""
    is_one = len(view.deployments) == 1
    return {
        "provider": [view.provider] if is_one else [],
        "model": [view.model] if is_one else [],
        "description": [view.description or ""],
        "endpoints": list(view.endpoints),
        "max_output_tokens": [_written(view.max_output_tokens)],
        "max_input_tokens": [_written(view.max_input_tokens)],
        "tags": [", ".join(view.tags)],
        **limit_values(view.limits),
        **_price_values(view),
    }


def _price_values(view: ModelView) -> dict[str, list[str]]:
    stated = view.stated_price
    return {f"price.{name}": [_written(getattr(stated, name, None))] for name in PRICES}


def token_create(posted: Posted) -> dict[str, Any]:
    """The fields of TokenCreate."""
    return said(
        {
            "id": text(posted, "id"),
            "role": text(posted, "role"),
            "teams": listed(posted, "teams") or None,
            "expires": expires(posted),
        }
    )


def for_people(error: ManageError) -> ManageError:
    """As the form has names for it; what the API says of its header is no help beside one."""
    if error.code != "etag_mismatch":
        return in_words(error)
    message = (
        "Somebody changed this since you opened the page. Look at it as it is now, and decide anew."
    )
    return ManageError(error.code, message)


def _limit(name: str, typed: str | None) -> int | str | None:
    return money(typed) if name.endswith("_usd") else whole(typed)


def _models(posted: Posted) -> list[str] | None:
    return listed(posted, "allowed_models") if text(posted, "models") == "some" else None


def _price(posted: Posted) -> dict[str, Any] | None:
    found = said({name: money(text(posted, f"price.{name}")) for name in PRICES})
    return found or None


def _written(value: Any) -> str:
    return "" if value is None else f"{value:f}" if hasattr(value, "as_tuple") else str(value)
