"""A real, headless Chromium, driven as a person would drive it."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.gateway import wait_for
from tests.support.programs import required

Scheme = Literal["light", "dark"]

# What the page was refused, noted from its first script on.
_NOTE_VIOLATIONS = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.__violations.push(event.violatedDirective + " " + event.blockedURI);
});
"""


class Browser:
    """`driver` is Selenium's; what it cannot do goes over Chromium's own protocol."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        self.driver.get(url)

    @property
    def path(self) -> str:
        """Of the page that is shown, with its query."""
        return "/" + self.driver.current_url.split("/", 3)[3]

    @property
    def text(self) -> str:
        """What can be read on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def find(self, css: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def field(self, label: str) -> WebElement:
        """The input of a label that begins so."""
        for found in self.driver.find_elements(By.TAG_NAME, "label"):
            if found.is_displayed() and found.text.startswith(label):
                return self.driver.find_element(By.ID, found.get_attribute("for") or "")
        raise AssertionError(f"no label begins with {label!r} on {self.path}")

    def fill(self, label: str, text: str) -> None:
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def press(self, words: str) -> None:
        """A button, a link or a summary that says just that; then the page that it leads to is
        there."""
        found = self.driver.find_element(
            By.XPATH,
            f"//button[normalize-space()={words!r}] | //a[normalize-space()={words!r}]"
            f" | //summary[normalize-space()={words!r}]",
        )
        leads_on = found.tag_name == "a" or found.get_attribute("type") == "submit"
        self.script("window.__here = true")
        found.click()
        if leads_on:
            wait_for(self._has_left, f"where {words!r} leads")

    def _has_left(self) -> bool:
        # Between two pages there is nothing to run a script in.
        with contextlib.suppress(WebDriverException):
            told = self.script("return !window.__here && document.readyState === 'complete'")
            return bool(told)
        return False

    def wait_text(self, words: str, seconds: float = 10.0) -> None:
        """Until the page says so; it may be loading another meanwhile."""

        def says() -> bool:
            with contextlib.suppress(WebDriverException):
                return words in self.text
            return False

        wait_for(says, f"{words!r} on the page", seconds)

    def script(self, text: str) -> Any:
        return self.driver.execute_script(text)

    def errors(self) -> list[str]:
        """What the browser complained of since it was asked last."""
        logged = [entry["message"] for entry in self.driver.get_log("browser")]
        return [*logged, *(self.script("return window.__violations || []") or [])]

    def show_as(self, scheme: Scheme, width: int = 1280, height: int = 900) -> None:
        """As a person with this preference and a screen of this size sees it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._protocol("Emulation.setEmulatedMedia", features=features)
        self._protocol(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of the window, or of the whole page."""
        taken = self._protocol("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(taken["data"]))

    def _protocol(self, command: str, **options: Any) -> Any:
        return self.driver.execute_cdp_cmd(command, options)


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """A browser without a past."""
    options = Options()
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
        *("--window-size=1280,900", "--hide-scrollbars", "--no-proxy-server"),
        *("--force-color-profile=srgb", "--font-render-hinting=none"),
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.binary_location = required("chromium", "chromium")
    service = Service(required("chromedriver", "chromium-driver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": _NOTE_VIOLATIONS}
        )
        yield Browser(driver)
    finally:
        driver.quit()
