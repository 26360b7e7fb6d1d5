"""Multipart bodies."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from python_multipart import create_form_parser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File

from tollhouse.simulator.call import Call
from tollhouse.simulator.openai import errors


@dataclass(frozen=True, slots=True)
class Sent:
    """A file of a form."""

    field: str
    name: str
    content: bytes


@dataclass(slots=True)
class Form:
    """Fields by name, the last of a name; files in order."""

    fields: dict[str, Any] = field(default_factory=dict)
    files: list[Sent] = field(default_factory=list)

    def file(self, name: str) -> Sent:
        """The first file of that field.

        Raises:
            ApiError: 400, there is none.
        """
        found = next((sent for sent in self.files if sent.field == name), None)
        if found is None:
            raise errors.missing_parameter(name)
        return found

    def number(self, name: str) -> int | None:
        """An integer; None when the field is absent.

        Raises:
            ApiError: 400, it is something else.
        """
        text = self.fields.get(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdecimal()):
            raise errors.invalid_type(name, "an integer", text)
        return int(text)

    def _add_field(self, given: Field) -> None:
        name = (given.field_name or b"").decode("utf-8", "replace")
        self.fields[name] = (given.value or b"").decode("utf-8", "replace")

    def _add_file(self, given: File) -> None:
        given.file_object.seek(0)
        name = (given.field_name or b"").decode("utf-8", "replace")
        file_name = (given.file_name or b"").decode("utf-8", "replace")
        self.files.append(Sent(name, file_name, given.file_object.read()))
        given.close()


def read(call: Call) -> Form:
    """The form in a call's body.

    Raises:
        ApiError: 400, the body is no form.
    """
    kind = call.header(b"content-type") or ""
    if not kind.lower().startswith("multipart/form-data"):
        raise errors.bad_form()
    form = Form()
    head = {"Content-Type": kind.encode("latin-1"), "Content-Length": b"%d" % len(call.body)}
    try:
        parser = create_form_parser(head, form._add_field, form._add_file)
        parser.write(io.BytesIO(call.body).read())
        parser.finalize()
    except (FormParserError, ValueError):
        raise errors.bad_form() from None
    return form
