"""`audit.head`: the last record's seq and hash, beside the log, replaced in one step."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import cast

from console.audit.errors import Unreadable
from console.audit.files import open_file, write_all
from console.audit.record import Head


def head_path(log: Path) -> Path:
    """Of the log of that name."""
    return log.with_suffix(".head")


def read_head(path: Path) -> Head | None:
    """None where there is none. Raises Unreadable, also for one that is no head."""
    try:
        written = json.loads(path.read_bytes())
        return checked(written["seq"], written["hash"])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Unreadable(f"{path} does not hold a seq and a hash") from None


def write_head(path: Path, head: Head) -> None:
    """Durable once `sync_directory` of its directory returns, too. Raises OSError."""
    beside = path.with_name(f"{path.name}.new")
    written = json.dumps({"seq": head.seq, "hash": head.hash}) + "\n"
    beside.unlink(missing_ok=True)
    descriptor = open_file(beside, os.O_WRONLY)
    try:
        write_all(descriptor, written.encode())
    finally:
        os.close(descriptor)
    beside.replace(path)


def parse_head(text: str) -> Head:
    """`SEQ:HASH`, as `tollhouse audit verify` prints it. Raises ValueError."""
    seq, _, digest = text.strip().partition(":")
    return checked(int(seq) if seq.isascii() and seq.isdigit() else -1, digest)


def checked(seq: object, digest: object) -> Head:
    """Raises ValueError for what no head can be."""
    is_seq = isinstance(seq, int) and not isinstance(seq, bool) and seq > 0
    is_hash = isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest)
    if not is_seq or not is_hash:
        raise ValueError("a head is SEQ:HASH, a number from 1 on and 64 hex digits")
    return Head(cast(int, seq), cast(str, digest))
