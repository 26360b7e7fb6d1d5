"""What a browser is told about every answer of the console."""

from __future__ import annotations

from typing import Final

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)

ALWAYS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: browsers then send `Origin: null` with forms, and these are refused.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

PAGE: Final = {**ALWAYS, "cache-control": "no-store"}
"""Pages are never kept: some show what is shown once, all of them show what is true now."""
