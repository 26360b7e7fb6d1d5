"""Multipart bodies, and how other parsers read them."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import python_multipart
from python_multipart.exceptions import FormParserError

BOUNDARY = "xYzBoUnDaRy"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(headers: str, value: bytes | str = b"") -> bytes:
    """A part whose headers are these lines, each without its CRLF."""
    lines = "".join(f"{line}\r\n" for line in headers.split("\n"))
    return f"{lines}\r\n".encode() + (value.encode() if isinstance(value, str) else value)


def text(name: str, value: bytes | str) -> bytes:
    """A text field as all clients send it."""
    return part(f'Content-Disposition: form-data; name="{name}"', value)


def file(name: str, value: bytes, filename: str = "a.mp3") -> bytes:
    """A file as all clients send it."""
    named = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return part(f"{named}\nContent-Type: application/octet-stream", value)


def form(*parts: bytes) -> bytes:
    """The body of these parts."""
    opening = f"--{BOUNDARY}\r\n".encode()
    return b"".join(opening + each + b"\r\n" for each in parts) + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Read:
    """What a parser found: values of fields and of files, by name."""

    fields: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    files: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))


def by_email(body: bytes, content_type: str) -> Read:
    """As Python's email package reads it, which is lenient."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    found = Read()
    for each in message.iter_parts():
        name = each.get_param("name", header="content-disposition")
        kind = found.fields if each.get_filename() is None else found.files
        kind[str(name)].append(_bytes(each.get_payload(decode=True)))
    return found


def _bytes(payload: Any) -> bytes:
    assert payload is None or isinstance(payload, bytes)
    return payload or b""


def by_python_multipart(body: bytes, content_type: str) -> Read | None:
    """As python-multipart reads it, which FastAPI uses; None where it refuses."""
    found = Read()

    def on_field(one: Any) -> None:
        found.fields[_name(one)].append(one.value or b"")

    def on_file(one: Any) -> None:
        one.file_object.seek(0)
        found.files[_name(one)].append(one.file_object.read())

    headers = {"Content-Type": content_type.encode(), "Content-Length": str(len(body)).encode()}
    try:
        python_multipart.parse_form(headers, io.BytesIO(body), on_field, on_file)
    except (FormParserError, UnicodeError):
        return None
    return found


def _name(one: Any) -> str:
    return bytes(one.field_name or b"").decode("utf-8", "replace")
