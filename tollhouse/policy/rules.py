"""What single values of a policy file may be, beyond their type.

Each rule takes the value, returns it (tidied) or raises a `PydanticCustomError` of type "policy",
whose message completes the sentence "'<field>' …". No message repeats the value.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import ValidationInfo
from pydantic_core import PydanticCustomError

from tollhouse.money import usd_to_nano
from tollhouse.policy.problems import suggestion

KEY_PREFIXES = ("tlh_", "tlm_", "sk-")
"""How internal keys begin, management tokens, and the keys of OpenAI and Anthropic."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")
"""What the name of an alias can look like."""
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,63}")
_HEADER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_URL = re.compile(
    rf"https?://(?:{_HOST.pattern}|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[A-Za-z0-9._~-]+)*"
)
_ENV_SECRET = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_FILE_SECRET = re.compile(r"file:/[^\x00-\x20]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GOVERNED = frozenset(
    {
        "input",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "messages",
        "model",
        "n",
        "stream",
        "stream_options",
    }
)
_LONGEST_LINE = 200
_ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/messages", "/responses")


def _refuse(message: str) -> NoReturn:
    raise PydanticCustomError("policy", message)


def _pattern(pattern: re.Pattern[str], message: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        return value if pattern.fullmatch(value) else _refuse(message)

    return check


name = _pattern(
    _NAME,
    "must be letters, digits, '.', '_' or '-', beginning with a letter or digit, at most 128",
)
PARAMETER_PATTERN = rf"(?!({'|'.join(sorted(_GOVERNED))})$){_PARAMETER.pattern}"
"""What the name of a parameter with a default can look like."""
parameter_name = _pattern(
    re.compile(PARAMETER_PATTERN),
    "cannot have a default: write a lowercase parameter name that the gateway does not itself"
    f" govern ({', '.join(sorted(_GOVERNED))} it does)",
)
sha256 = _pattern(
    _SHA256,
    "must be the 64 lowercase hex digits of the key's SHA-256, as `tollhouse keys new` prints them",
)
secret_reference = _pattern(
    re.compile(rf"{_ENV_SECRET.pattern}|{_FILE_SECRET.pattern}"),
    "must name a secret, never be one: write ${VARIABLE} or file:/absolute/path",
)


def alias_name(value: str) -> str:
    """The name of an alias; wider than other names because providers' names are in use."""
    if not ALIAS.fullmatch(value) or value.startswith(("tag:", "group:")):
        _refuse(
            "must be letters, digits, '.', '_', ':', '/', '@' or '-', beginning with a letter"
            " or digit, at most 128, and not begin with 'tag:' or 'group:'"
        )
    return value


def key_id(value: str) -> str:
    """A key's id. It is logged, so what looks like a key itself is refused."""
    if value.startswith(KEY_PREFIXES):
        _refuse("looks like a key, and ids are logged: write a name for the key")
    return name(value)


def line(value: str) -> str:
    """One line of text for people."""
    text = value.strip()
    if not text or len(text) > _LONGEST_LINE or not text.isprintable():
        _refuse(f"must be one line of 1 to {_LONGEST_LINE} printable characters")
    return text


def time_zone(value: str) -> str:
    """An IANA time zone."""
    try:
        return ZoneInfo(value).key
    # ZoneInfo opens what the name points at: a directory, a forbidden path, not a zone.
    except (OSError, KeyError, ValueError):
        near = suggestion(value, available_timezones()).partition(";")[0]
        _refuse(f"must be an IANA time zone such as UTC or Europe/Berlin{near}")


def header_name(value: str) -> str:
    """An HTTP header name, lowercased as Envoy writes it."""
    lowered = value.lower()
    return lowered if _HEADER.fullmatch(lowered) else _refuse("must be the name of an HTTP header")


def base_url(value: str, info: ValidationInfo) -> str:
    """An absolute URL without trailing slash. Reads the field `allow_plain_http` before it."""
    parts = _split(value)
    if parts is None:
        _refuse("must be a URL such as https://api.example.com/v1, with no user, query or fragment")
    if parts.scheme == "http" and not (
        info.data.get("allow_plain_http") or _is_loopback(parts.hostname or "")
    ):
        _refuse(
            "must begin with https://, or the provider's secret travels unencrypted"
            " (allow_plain_http: true accepts that)"
        )
    if parts.path.rstrip("/").endswith(_ENDPOINTS):
        _refuse("must end before the endpoint, with /v1 or the like: calls add /chat/completions")
    return value.rstrip("/")


def sign_on_url(value: str) -> str:
    """An absolute URL of an identity provider, which Envoy or a browser is sent to."""
    if _split(value) is None:
        _refuse("must be a URL such as https://login.example.com/keys, with no user or query")
    if value.startswith("http:") and not _is_loopback(urlsplit(value).hostname or ""):
        _refuse("must begin with https://: what comes from there decides who may manage")
    return value


def jwks(value: str) -> str:
    """Where the keys are that verify JWTs: a URL, or a file."""
    if value.startswith("file:"):
        return value if _FILE_SECRET.fullmatch(value) else _refuse("must be file:/absolute/path")
    return sign_on_url(value)


def _split(url: str) -> SplitResult | None:
    # urlsplit alone is too kind: it drops tabs and newlines, lowers HTTPS and lets an IPv6 zone
    # hold quotes, while the URL goes on to Envoy and its Lua as it was written.
    if not _URL.fullmatch(url.rstrip("/")):
        return None
    try:
        parts = urlsplit(url.rstrip("/"))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    return parts if _is_host(host) and port != 0 else None


def _is_host(host: str) -> bool:
    return bool(_HOST.fullmatch(host)) or _address(host) is not None


def _is_loopback(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def expiry(value: object) -> date:
    """A date or a datetime, as YAML reads them unquoted."""
    if not isinstance(value, date):
        _refuse("must be a date such as 2027-06-30 (or a time such as 2027-06-30T18:00:00Z)")
    if not 2000 <= value.year < 3000:
        _refuse("must lie between the years 2000 and 2999; a key without it never expires")
    return value


def decimal(value: object) -> object:
    """A whole number is a decimal too; anything else is left for the type to refuse."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Decimal(value) if whole else value  # type: ignore[arg-type]


def usd(value: object) -> object:
    """USD, exact in nano-dollars."""
    amount = decimal(value)
    if isinstance(amount, Decimal):
        try:
            usd_to_nano(amount)
        except ValueError:
            _refuse("must be USD, 0 or more, with at most nine decimals")
    return amount


def metadata_value(value: object) -> object:
    """Text, a number or a boolean."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, str):
        return line(value)
    if isinstance(value, bool | int):
        return value
    _refuse("must be text, a number, true or false")


def json_text(value: object) -> str:
    """A YAML value as compact JSON text, members in the order written."""
    try:
        if value is None:
            raise TypeError
        return json.dumps(value, separators=(",", ":"), allow_nan=False, default=_json_number)
    except (TypeError, ValueError, OverflowError):
        _refuse("must be a value that JSON knows: text, a number, true, false, a list or a mapping")


def _json_number(value: Any) -> float:
    if not isinstance(value, Decimal):
        raise TypeError
    return float(value)
