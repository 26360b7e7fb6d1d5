"""tollhouse.serving.source: which policy the options name, and what they lack."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.support.policy import write_tree
from tests.support.redis import redis_url
from tollhouse.bundles.publisher import Publisher
from tollhouse.bundles.signing import SigningKey
from tollhouse.bundles.store import BundleStore
from tollhouse.policy.compiler import load_snapshot
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.source import SourceError, SourceOptions, open_source

__all__ = ["redis_url"]


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceOptions:
    """All that a replica of bundles needs."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    _, public = SigningKey.new().write(tmp_path / "keys")
    return SourceOptions(
        kind="redis",
        redis_url="redis://127.0.0.1:1",
        public_keys=[public],
        cache=tmp_path / "bundle",
    )


def test_the_default_is_a_directory(tmp_path: Path) -> None:
    source = open_source(SourceOptions(directory=write_tree(tmp_path)))
    assert isinstance(source, PolicyDirectory)
    assert source.load().org.name == "acme"


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ({"redis_url": None}, "--policy redis needs --policy-redis-url, or REDIS_URL"),
        ({"cache": None}, "--policy redis needs --policy-cache FILE: the last good policy is kept"),
        ({"public_keys": []}, "--policy redis needs --policy-public-key FILE: tollhouse policy"),
        ({"public_keys": [Path("none")]}, "--policy-public-key: none cannot be read: No such file"),
        ({"redis_url": "http://x"}, "--policy-redis-url: the address of Redis must begin with"),
        ({"demo_keys": True}, "--demo-keys is for --policy directory: in bundles they are blocked"),
    ],
)
def test_what_bundles_lack_is_named(
    whole: SourceOptions, lacking: dict[str, object], said: str
) -> None:
    with pytest.raises(SourceError) as refused:
        open_source(replace(whole, **lacking))  # type: ignore[arg-type]
    assert str(refused.value).startswith(said)


def test_the_address_may_be_that_of_the_environment(
    whole: SourceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
    open_source(replace(whole, redis_url=None))


def test_the_metrics_of_a_replica_say_what_it_has_and_of_whom_it_heard(
    redis_url: str, tmp_path: Path
) -> None:
    key, registry = SigningKey.new(), CollectorRegistry()
    _, public = key.write(tmp_path / "keys")
    store = BundleStore(redis_url, timeout_seconds=10)
    snapshot = load_snapshot(write_tree(tmp_path / "tree"))
    serial = Publisher(store, key, "ops").publish(snapshot).header.serial
    store.close()
    cache = tmp_path / "replica" / "bundle"
    options = SourceOptions("redis", redis_url=redis_url, public_keys=[public], cache=cache)
    source = open_source(options, registry)

    def value(name: str) -> float | None:
        return registry.get_sample_value(f"tollhouse_policy_{name}")

    assert [value(name) for name in ("serial", "source_up", "cached")] == [0, 0, 0]
    PolicyHolder(source)
    assert [value(name) for name in ("serial", "source_up", "cached")] == [serial, 1, 1]
    contact = value("source_last_contact_timestamp_seconds")
    assert contact is not None
    assert contact > 1_700_000_000


_WITH_A_DIRECTORY = """
import sys
from tollhouse.serving.options import common, parser
from tollhouse.serving.source import open_source
open_source(common(parser("any", "").parse_args(["--listen", "unix:/a"])).source)
print(sorted({"redis", "cryptography"} & set(sys.modules)))
"""


def test_who_reads_a_directory_loads_no_redis_client() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", _WITH_A_DIRECTORY], capture_output=True, text=True, check=True
    )
    assert answer.stdout == "[]\n"
