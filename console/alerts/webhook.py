"""Delivers a message to a webhook. Its URL is a secret: nothing here logs or tells any of it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from console.secrets import SecretMissing, read_secret
from tollhouse.policy.secret import Secret


class DeliveryFailed(Exception):
    """The receiver did not take the message, or may have and did not say so in time.

    The text says why, without the URL. `retry_after`: for how many seconds the receiver asked to be
    left alone.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Webhook:
    """Posts JSON. `read` finds the URL, at each delivery; `timeout_seconds` is for all of one."""

    def __init__(
        self, read: Callable[[Secret], str] = read_secret, timeout_seconds: float = 5.0
    ) -> None:
        self._read = read
        self._timeout = timeout_seconds
        # The public authorities that certifi has, or those of SSL_CERT_FILE.
        self._authorities = httpx.create_ssl_context()
        # They log the URL of each request.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)

    async def __call__(self, secret: Secret, body: dict[str, Any]) -> None:
        """Returns when the receiver has answered 2xx. Raises DeliveryFailed."""
        try:
            url = _checked(self._read(secret))
            async with asyncio.timeout(self._timeout):
                response = await self._post(url, body)
        except SecretMissing as error:
            raise DeliveryFailed(str(error)) from None
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, OSError) as error:
            # The text of some of these has the URL.
            raise DeliveryFailed(f"the request failed ({type(error).__name__})") from None
        if not response.is_success:
            reason = f"the receiver answered {response.status_code}"
            raise DeliveryFailed(reason, _retry_after(response))

    async def _post(self, url: httpx.URL, body: dict[str, Any]) -> httpx.Response:
        # No proxy and no .netrc of the environment: the URL alone says where it goes. The body of
        # the answer is not read: it may be long.
        async with (
            httpx.AsyncClient(
                verify=self._authorities,
                timeout=self._timeout,
                follow_redirects=False,
                trust_env=False,
            ) as client,
            client.stream("POST", url, json=body) as response,
        ):
            return response


def _checked(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise DeliveryFailed("the secret of the webhook is not a URL") from None
    safe = url.scheme == "https" or (url.scheme == "http" and _is_near(url.host))
    if not url.host or not safe:
        raise DeliveryFailed("the URL of the webhook must begin with https://")
    return url


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(response: httpx.Response) -> float | None:
    # Seconds or a date: RFC 9110, section 10.2.3.
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:12])
    try:
        until = parsedate_to_datetime(asked)
    except ValueError:
        return None
    zoned = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max((zoned - datetime.now(UTC)).total_seconds(), 0.0)
