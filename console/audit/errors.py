"""What goes wrong with the audit log and its files. Pure.

AuditError
├── AuditUnavailable    a record cannot be written: what it is about must not happen
└── Unreadable          a file, a head or a pattern cannot be read
"""

from __future__ import annotations


class AuditError(Exception):
    """The message says what to do, and holds no key, token or secret."""


class AuditUnavailable(AuditError):
    """Nothing was recorded."""


class Unreadable(AuditError):
    """The message names what."""
