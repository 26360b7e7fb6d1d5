"""Preconditions of HTTP. Pure."""

from __future__ import annotations

from console.problems import ManageError


def require(if_match: str | None, etag: str, what: str) -> None:
    """`if_match` is the header as it was sent; None: there was none.

    Raises:
        ManageError: `etag_mismatch`, with the etag that there is now.
    """
    if if_match is None or if_match.strip() == "*":
        return
    # Weak ones never match here (RFC 9110, 13.1.1). The quotes are easily forgotten.
    if etag in (each.strip().strip('"') for each in if_match.split(",")):
        return
    if any(each.strip().startswith("W/") for each in if_match.split(",")):
        message = "weak ETags never match: send in If-Match the one of the answer, without W/"
        raise ManageError("etag_mismatch", message, details={"etag": etag})
    message = f"{what} is no longer what the If-Match was of: GET it again, and decide anew"
    raise ManageError("etag_mismatch", message, details={"etag": etag})
