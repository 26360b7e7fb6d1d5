"""tollhouse.serving.logs: one JSON object a line, on standard error."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tollhouse.serving.logs import JsonLines


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    logger = logging.getLogger("tollhouse.test")
    return logger.makeRecord(
        logger.name, logging.WARNING, __file__, 1, message, arguments, None, extra=extra
    )


def line(made: logging.LogRecord) -> dict[str, Any]:
    """The one line that a record becomes, read back."""
    text = JsonLines().format(made)
    assert "\n" not in text
    read: dict[str, Any] = json.loads(text)
    return read


def test_a_line_has_time_level_logger_and_message() -> None:
    made = record("%d of %s", 3, "four")
    made.created = 1_795_521_600.25
    assert line(made) == {
        "time": "2026-11-24T12:00:00.250+00:00",
        "level": "warning",
        "logger": "tollhouse.test",
        "message": "3 of four",
    }


def test_fields_stand_beside_the_message() -> None:
    written = line(record("policy loaded", fields={"policy_version": "1d945c01341c", "keys": 2}))
    assert (written["policy_version"], written["keys"]) == ("1d945c01341c", 2)
    assert written["message"] == "policy loaded"


def test_what_json_does_not_know_is_written_as_text() -> None:
    written = line(record("moved", fields={"to": Path("/run/tollhouse")}))
    assert written["to"] == "/run/tollhouse"


@pytest.mark.parametrize("message", ['a "quote"', "two\nlines", "é\x00\u2028", "100%"])
def test_a_message_is_one_line_whatever_is_in_it(message: str) -> None:
    assert line(record(message))["message"] == message


def test_an_exception_comes_with_its_traceback_in_the_same_line() -> None:
    try:
        raise LookupError("not there")
    except LookupError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    trace = line(made)["exception"]
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("LookupError: not there")


def test_without_an_exception_there_is_no_field_for_one() -> None:
    made = record("fine")
    made.exc_info = (None, None, None)  # exc_info=True where nothing was raised
    assert "exception" not in line(made)


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", ["debug", "info", "error"]), ("info", ["info", "error"]), ("error", ["error"])],
)
def test_a_configured_process_logs_from_its_level_up_and_to_standard_error_alone(
    level: str, written: list[str]
) -> None:
    program = (
        "import logging; from tollhouse.serving import logs; "
        f"logs.configure({level!r}); log = logging.getLogger('any'); "
        "log.debug('d'); log.info('i'); log.error('e')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = [json.loads(text) for text in ended.stderr.splitlines()]
    assert [one["level"] for one in lines] == written
    assert all(datetime.fromisoformat(one["time"]).tzinfo for one in lines)
    assert ended.stdout == ""
