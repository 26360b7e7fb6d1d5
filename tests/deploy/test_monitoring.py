"""A real Prometheus on a real gateway with traffic of all kinds: all that rules and dashboard ask
for exists, and what goes wrong is told."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography import x509

from tests.deploy import prometheus
from tests.deploy.monitoring import (
    Query,
    Selector,
    dashboard_queries,
    recorded,
    rule_queries,
    rules,
    selectors,
)
from tests.deploy.prometheus import Prometheus
from tests.support import certificates, e2e_policy, parts
from tests.support.gateway import Gateway, running, wait_for

# Envoy merges histograms every 5 s; a rate needs two of what it is of.
TRAFFIC_SECONDS = 13
FROZEN_SECONDS = 20

# A call of each kind: which key, and what it asks for. Statuses are the simulated provider's.
CALLS: list[tuple[str, dict[str, object], str]] = [
    ("app", {}, ""),
    ("app", {"stream": True}, ""),
    ("app", {"model": "chat-other"}, ""),
    ("app", {}, "cached_tokens=4"),
    ("app", {}, "no_usage"),
    *(("app", {}, f"status={status}") for status in (401, 429, 500)),
    ("app", {"model": "pair"}, "status=503"),
    ("watched", {"model": "chat-other"}, ""),
    *((key, {}, "") for key in ("nobody", "blocked", "expired", "few-requests", "broke")),
    ("narrow", {"model": "chat-other"}, ""),
    ("app", {"model": "made-up"}, ""),
]

# Provoked by the calls above; with a second in place of the minutes that they must last.
PROVOKED = {
    *("TollhouseProviderErrors", "TollhouseProviderLimitsUs", "TollhouseProviderCredential"),
    *("TollhouseRefusalsSpike", "TollhouseBudgetExceeded", "TollhouseUsageEstimated"),
    *("TollhouseKeysExpire", "TollhouseKeyExpiresSoon"),
}

PAIR = f"""\
  pair:
    deployments:
      - {{provider: openai, model: gpt-4o-mini}}
      - {{provider: other, model: other-large, order: 2}}
    max_output_tokens: 100
    price: {e2e_policy.PRICE}
"""

# What must be told when a part hangs.
HANGS = {
    "ratelimit_service": {
        *("TollhousePartDown", "TollhouseServiceUnhealthy", "TollhouseFailsClosed"),
    },
    "redis": {"TollhouseLedgerDegraded", "TollhouseRedisErrors", "TollhousePolicySourceDown"},
}


@dataclass
class Watched:
    """A gateway under Prometheus, after traffic and after parts were frozen for a while."""

    prometheus: Prometheus
    pages: dict[str, list[str]]
    address: tuple[str, int]
    """Of the endpoint."""
    firing_before: set[str] = field(default_factory=set)
    fired: dict[str, float] = field(default_factory=dict)
    """Alert to seconds since the part was frozen."""
    said: dict[str, str] = field(default_factory=dict)
    """Alert to all that it said, while it was pending or firing."""
    data: dict[str, int] = field(default_factory=dict)
    """Where a query of the dashboard stands to how many series it returned."""
    rounds: int = 0
    """How often each of `CALLS` was made."""

    def value(self, expression: str) -> float:
        [sample] = self.prometheus.query(expression)
        return float(sample["value"][1])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    root, ca = tmp_path_factory.mktemp("monitoring"), trustme.CA()
    files = certificates.issue(root / "certs", ca, "localhost", "127.0.0.1")
    options = ("--tls-cert", str(files.cert), "--tls-key", str(files.key))
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(running(_policies(root), root / "run", *options))
        gateway.http = stack.enter_context(_client(gateway, ca))
        pages = {job: [url] for job, url in gateway.up["metrics"].items()}
        pages["authz_service"].append(stack.enter_context(_replica(root, gateway)))
        url = httpx.URL(gateway.endpoint)
        seen = Watched(
            stack.enter_context(prometheus.running(root / "prometheus", pages)),
            pages,
            (url.host, url.port or 443),
        )
        seen.rounds = _call_for(gateway, TRAFFIC_SECONDS)
        seen.firing_before = seen.prometheus.firing()
        for part in HANGS:
            _freeze(gateway, seen, part)
        seen.rounds += _call_for(gateway, TRAFFIC_SECONDS)
        _show(seen)
        yield seen


def _policies(root: Path) -> Path:
    tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    ending = e2e_policy.key("ending", f"  expires: {tomorrow}")
    shadow = e2e_policy.key("watched", "  shadow: {denied_models: [chat-other]}")
    team = e2e_policy.TEAM.replace("embed]", "embed, pair]") + ending + shadow
    files = {"teams__web": team, "models": e2e_policy.MODELS + PAIR}
    return e2e_policy.write(root / "policies", **files, management="tokens: []\n")


def _client(gateway: Gateway, ca: trustme.CA) -> httpx.Client:
    gateway.http.close()
    trusted = certificates.trusting(ca)
    return httpx.Client(base_url=gateway.endpoint, verify=trusted, timeout=30, trust_env=False)


@contextlib.contextmanager
def _replica(root: Path, gateway: Gateway) -> Iterator[str]:
    """An authz_service that follows bundles; yields the URL of its metrics."""
    redis, signing = gateway.up["redis_url"], root / "signing"
    _tollhouse("keygen", "--out", signing)
    private, policies = signing / "policy-signing.key", root / "policies"
    _tollhouse("publish", "--policies", policies, "--redis-url", redis, "--signing-key", private)
    ready = root / "replica.ready.json"
    following = ("--policy", "redis", "--policy-redis-url", redis)
    kept = ("--policy-cache", root / "cache", "--policy-public-key", signing / "policy-signing.pub")
    listen = ("--listen", f"unix:{root}/replica.sock", "--ready-file", ready)
    command = [sys.executable, "-m", "authz_service", *listen, *following, *kept]
    with parts.process(root, "replica", list(map(str, command))):
        wait_for(ready.exists, "the replica", 30)
        yield parts.metrics_url(ready)


def _tollhouse(*words: str | Path) -> None:
    command = [sys.executable, "-m", "tollhouse", "policy", *map(str, words)]
    subprocess.run(command, capture_output=True, check=True, timeout=60)


def _call_all(gateway: Gateway) -> None:
    for key, fields, directives in CALLS:
        gateway.chat(key, {"x-simulate": directives}, **fields)
    gateway.post("/v1/embeddings", {"model": "embed", "input": "Hello"}, "app")
    gateway.post("/v1/batches", {}, "app")


def _call_for(gateway: Gateway, seconds: float) -> int:
    """How often each call was made."""
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        _call_all(gateway)
        rounds += 1
        time.sleep(0.5)
    return rounds


def _freeze(gateway: Gateway, seen: Watched, part: str) -> None:
    """The part hangs, and callers go on calling, until what is wanted fires."""
    began = time.monotonic()
    with gateway.frozen(part), ThreadPoolExecutor(8) as callers:
        while not HANGS[part] <= seen.fired.keys() and time.monotonic() - began < FROZEN_SECONDS:
            list(callers.map(lambda _: gateway.chat("app"), range(8)))
            for name in seen.prometheus.firing() - seen.firing_before:
                seen.fired.setdefault(name, time.monotonic() - began)
        seen.said |= seen.prometheus.said()


def _show(seen: Watched) -> None:
    for query in dashboard_queries(rate_interval="20s", shown_range="1m"):
        samples = seen.prometheus.query(query.text)
        seen.data[query.where] = sum(one["value"][1] != "NaN" for one in samples)


def test_all_parts_are_scraped(watched: Watched) -> None:
    instances = [url.split("/")[2] for urls in watched.pages.values() for url in urls]
    assert watched.prometheus.targets() == dict.fromkeys(instances, "up")


def test_no_rule_fails_when_it_is_evaluated(watched: Watched) -> None:
    evaluated = {
        rule["name"]: (rule["health"], rule.get("lastError")) for rule in watched.prometheus.rules()
    }
    assert set(evaluated.values()) == {("ok", None)}
    assert len(evaluated) == len(rules())


ASKED: dict[Selector, str] = {
    selector: query.where
    for query in [*rule_queries(), *dashboard_queries()]
    for selector in selectors(query.text)
}


def test_every_metric_and_label_that_is_asked_for_exists(watched: Watched) -> None:
    missing = []
    known: dict[str, list[dict[str, str]]] = {}
    for selector, where in ASKED.items():
        series = known.setdefault(selector.metric, watched.prometheus.series(selector.metric))
        if not any(selector.labels <= labels.keys() for labels in series):
            missing.append(f"{where}: {selector.metric} {sorted(selector.labels)}")
    assert missing == []
    print(f"\n{len(known)} metrics in {len(ASKED)} selectors, all exported")


def test_what_a_rule_records_is_there(watched: Watched) -> None:
    assert [name for name in recorded() if not watched.prometheus.query(name)] == []


@pytest.mark.parametrize("query", dashboard_queries(), ids=lambda query: str(query.where))
def test_a_panel_of_the_dashboard_shows_something(watched: Watched, query: Query) -> None:
    assert watched.data[query.where] > 0


def test_only_what_the_traffic_provoked_is_told(watched: Watched) -> None:
    print(f"\nfiring after traffic: {sorted(watched.firing_before)}")
    assert watched.firing_before <= PROVOKED
    assert "TollhouseProviderErrors" in watched.firing_before
    assert "TollhouseBudgetExceeded" in watched.firing_before


@pytest.mark.parametrize("part", sorted(HANGS))
def test_a_part_that_hangs_is_told_of_while_it_hangs(watched: Watched, part: str) -> None:
    assert watched.fired.keys() >= HANGS[part]
    for name in sorted(HANGS[part], key=lambda name: watched.fired[name]):
        print(f"\n{part} hangs: {name} after {watched.fired[name]:.1f} s", end="")


def test_what_an_alert_says_is_filled_in(watched: Watched) -> None:
    assert watched.said.keys() >= watched.fired.keys()
    assert [name for name, text in watched.said.items() if "error expanding" in text] == []
    print(f"\n{watched.said['TollhouseServiceUnhealthy']}")


def test_providers_are_told_apart_and_services_are_left_out(watched: Watched) -> None:
    samples = watched.prometheus.query(
        "sum by (provider) (provider_status:tollhouse_attempts:rate5m)"
    )
    assert sorted(sample["metric"]["provider"] for sample in samples) == ["openai", "other"]


def test_a_failure_is_its_providers_though_another_deployment_was_asked_after_it(
    watched: Watched,
) -> None:
    first = 'envoy_cluster_retry_upstream_rq{envoy_cluster_name="provider_openai_pool"}'
    last = 'envoy_cluster_external_upstream_rq{envoy_cluster_name="provider_other"}'
    failed = 'provider_status:tollhouse_attempts:rate5m{envoy_response_code="503"}'
    for series in (first, last):
        assert watched.value(series.replace("}", ',envoy_response_code="503"}')) > 0
    samples = watched.prometheus.query(f"{failed} > 0")
    assert {sample["metric"]["provider"] for sample in samples} == {"openai", "other"}


def test_calls_that_a_limit_refused_are_not_counted_as_the_providers(watched: Watched) -> None:
    answered = 'sum(envoy_cluster_external_upstream_rq{envoy_response_code="429"})'
    refused = 'sum(envoy_cluster_internal_upstream_rq{envoy_response_code="429"})'
    wait_for(lambda: watched.value(answered) == watched.rounds, "the provider's own 429", 5)
    assert watched.value(refused) > watched.rounds


def test_the_end_of_the_certificate_is_known(watched: Watched) -> None:
    [sample] = watched.prometheus.query(
        "envoy_listener_ssl_certificate_expiration_unix_time_seconds"
    )
    shown = ssl.get_server_certificate(watched.address)
    certificate = x509.load_pem_x509_certificate(shown.encode())
    assert float(sample["value"][1]) == certificate.not_valid_after_utc.timestamp()


def test_an_alert_ends_when_the_part_is_back(watched: Watched) -> None:
    states = {"TollhousePartDown", "TollhouseServiceUnhealthy", "TollhouseLedgerDegraded"}

    def over() -> bool:
        return not states & watched.prometheus.firing()

    wait_for(over, "the end of the alerts", 30)
