"""A real Prometheus on loopback for a test, with the rules of deploy/alerts.yml in a hurry."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from tests.deploy.monitoring import RULES, program
from tests.support import parts
from tests.support.gateway import wait_for


class Prometheus:
    """Scrapes and evaluates once a second."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=10, trust_env=False)

    def _get(self, path: str, **parameters: str | list[str]) -> Any:
        answer = self._http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()["data"]

    def is_ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return bool(self._get("/status/runtimeinfo"))
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Samples of an instant query: `metric` and `value`, the time and a number in a string."""
        found: list[dict[str, Any]] = self._get("/query", query=expression)["result"]
        return found

    def series(self, selector: str) -> list[dict[str, str]]:
        """The label sets that ever matched."""
        found: list[dict[str, str]] = self._get("/series", **{"match[]": selector})
        return found

    def targets(self) -> dict[str, str]:
        """Instance to health."""
        active = self._get("/targets")["activeTargets"]
        return {one["labels"]["instance"]: one["health"] for one in active}

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("/rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        samples = self.query('ALERTS{alertstate="firing"}')
        return {sample["metric"]["alertname"] for sample in samples}

    def said(self) -> dict[str, str]:
        """The annotations of what is pending or firing, by alert."""
        return {
            one["labels"]["alertname"]: " ".join(one["annotations"].values())
            for one in self._get("/alerts")["alerts"]
        }

    def close(self) -> None:
        self._http.close()


@contextlib.contextmanager
def running(folder: Path, pages: Mapping[str, list[str]]) -> Iterator[Prometheus]:
    """`pages` are URLs of metrics by job. Returns when each was scraped."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(_hurried(folder), pages)))
    url = f"http://127.0.0.1:{_free_port()}"
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with parts.process(folder, "prometheus", command):
        prometheus = Prometheus(url)
        try:
            wait_for(prometheus.is_ready, "Prometheus", 30)
            wait_for(lambda: set(prometheus.targets().values()) == {"up"}, "the first scrapes", 30)
            yield prometheus
        finally:
            prometheus.close()


def _hurried(folder: Path) -> Path:
    """The rules, with a second in place of the minutes that a condition must hold."""
    hurried = re.sub(
        r"^( +(?:keep_firing_)?for:) \d+[smh]$", r"\1 1s", RULES.read_text(), flags=re.M
    )
    path = folder / "alerts.yml"
    path.write_text(hurried)
    return path


def _config(rule_file: Path, pages: Mapping[str, list[str]]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rule_file)],
        "scrape_configs": [
            {
                "job_name": job,
                "metrics_path": urlsplit(urls[0]).path,
                "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}],
            }
            for job, urls in pages.items()
        ],
    }


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
