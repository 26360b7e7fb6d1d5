"""What keeps a service from starting."""

from __future__ import annotations


class ServiceError(Exception):
    """The service cannot start; the message says what to change."""
