"""A delivery goes where its secret says and nowhere else, and nobody learns that secret from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from console.alerts.webhook import DeliveryFailed, Webhook
from console.secrets import SecretMissing, read_secret
from tests.alerts.receiver import Receiver, receiver
from tollhouse.policy.compiled import Secret

ANY = Secret("env", "WEBHOOK")
BODY = {"text": "told", "blocks": []}

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Somebody else's."""
    with receiver() as other:
        yield other


def to(url: str, seconds: float = 5.0) -> Callable[[], Any]:
    """A delivery to this URL."""
    return lambda: Webhook(lambda _: url, seconds)(ANY, BODY)


async def failure(deliver: Callable[[], Any]) -> DeliveryFailed:
    with pytest.raises(DeliveryFailed) as raised:
        await asyncio.wait_for(deliver(), 20)
    assert raised.value.__cause__ is None
    return raised.value


async def test_what_is_told_comes_as_json(hook: Receiver) -> None:
    await to(hook.url)()

    assert hook.came == [BODY]


async def test_the_url_is_read_at_each_delivery(
    hook: Receiver, other: Receiver, tmp_path: Path
) -> None:
    path = tmp_path / "url"
    webhook, secret = Webhook(), Secret("file", str(path))
    path.write_text(hook.url)
    await webhook(secret, BODY)
    path.write_text(f"  {other.url}\n")
    await webhook(secret, BODY)

    assert (len(hook.came), len(other.came)) == (1, 1)


async def test_a_redirection_is_not_followed(hook: Receiver, other: Receiver) -> None:
    for status in (301, 302, 303, 307, 308):
        hook.answers = [(status, {"location": other.url})]
        assert str(await failure(to(hook.url))) == f"the receiver answered {status}"

    assert other.came == []


async def test_proxies_of_the_environment_are_not_used(
    hook: Receiver, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)

    await to(hook.url)()

    assert (len(hook.came), other.came) == (1, [])


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://hooks.example.com/hushhush", "the URL of the webhook must begin with https://"),
        ("http://127.0.0.1.example.com/hushhush", "the URL of the webhook must begin with https"),
        ("http://127.0.0.1@example.com/hushhush", "the URL of the webhook must begin with https"),
        ("ftp://127.0.0.1/hushhush", "the URL of the webhook must begin with https://"),
        ("https:///hushhush", "the URL of the webhook must begin with https://"),
        ("hushhush", "the URL of the webhook must begin with https://"),
        ("http://[::1/hushhush", "the secret of the webhook is not a URL"),
        ("https://example.com:port/hushhush", "the secret of the webhook is not a URL"),
    ],
)
async def test_only_https_leaves_this_machine(url: str, told: str) -> None:
    assert str(await failure(to(url))).startswith(told)


@pytest.mark.parametrize("answer", [500, "hang", "close"])
async def test_neither_an_error_nor_a_log_has_any_of_the_url(
    hook: Receiver, answer: int | str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hook.answers = [answer, 200]

    failed = await failure(to(hook.url, 0.3))
    await to(hook.url)()

    told = caplog.text + str(failed) + repr(failed)
    assert "hushhush" not in told
    assert "services" not in told


async def test_a_receiver_that_cannot_be_reached_says_no_more_than_that() -> None:
    failed = await failure(to("http://127.0.0.1:9/hushhush"))

    assert str(failed) == "the request failed (ConnectError)"


async def test_a_receiver_that_hangs_is_left_after_the_deadline(hook: Receiver) -> None:
    hook.answers = ["hang"]

    assert str(await failure(to(hook.url, 0.2))) == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), (" 120 ", 120), ("soon", None), ("", None), ("-3", None), ("9" * 400, 999999999999)],
)
async def test_a_receiver_says_how_long_it_wants_to_be_left_alone(
    hook: Receiver, header: str, seconds: float | None
) -> None:
    hook.answers = [(429, {"retry-after": header})]

    assert (await failure(to(hook.url))).retry_after == seconds


async def test_it_may_say_so_by_a_date(hook: Receiver) -> None:
    now = datetime.now(UTC)
    for ahead, least, most in ((60, 50, 60), (-60, 0, 0)):
        date = format_datetime(now + timedelta(seconds=ahead), usegmt=True)
        hook.answers = [(503, {"retry-after": date})]
        assert least <= ((await failure(to(hook.url))).retry_after or 0) <= most


async def test_a_receiver_must_show_a_certificate_that_the_machine_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    with receiver(authority.issue_cert("localhost")) as hook:
        assert "ConnectError" in str(await failure(to(hook.url)))

        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        await to(hook.url)()

        assert hook.came == [BODY]


@pytest.mark.parametrize("content", ["", " \n", None])
def test_a_secret_that_is_not_there_is_told_by_its_place(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "url"
    monkeypatch.delenv("WEBHOOK", raising=False)
    if content is not None:
        path.write_text(content)
        monkeypatch.setenv("WEBHOOK", content)

    with pytest.raises(SecretMissing, match=f"the file {path} cannot be read, or is empty"):
        read_secret(Secret("file", str(path)))
    with pytest.raises(SecretMissing, match="the environment variable WEBHOOK is not set"):
        read_secret(ANY)


def test_a_secret_of_the_environment_is_read_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("WEBHOOK", f" {value}\n")
        assert read_secret(ANY) == value


async def test_a_missing_secret_is_a_delivery_that_failed(tmp_path: Path) -> None:
    secret = Secret("file", str(tmp_path / "none"))

    failed = await failure(lambda: Webhook()(secret, BODY))

    assert str(failed) == f"the file {tmp_path}/none cannot be read, or is empty"
