"""What a bundle weighs, and what it takes to make and to read one."""

import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.unit.bundles.builders import KEY, policy, sealed
from tollhouse.bundles.sealed import unseal
from tollhouse.paths import EXAMPLE_POLICIES
from tollhouse.policy.compiled import Snapshot, by_hash
from tollhouse.policy.compiler import load_snapshot

KEYS = 10_000
LARGEST = 2 << 20


def example(_folder: Path) -> Snapshot:
    return load_snapshot(EXAMPLE_POLICIES)


def crowded(folder: Path) -> Snapshot:
    """The smallest policy with ten thousand keys."""
    snapshot = policy(folder)
    (one,) = snapshot.keys.values()
    names = [f"web-app-{number}" for number in range(KEYS)]
    hashes = {name: sha256(name.encode()).hexdigest() for name in names}
    keys = {name: replace(one, id=name, sha256=hashes[name]) for name in names}
    return replace(snapshot, keys=keys, keys_by_hash=by_hash(keys))


@pytest.mark.parametrize("make", [example, crowded])
def test_a_large_policy_is_a_small_bundle_and_comes_back_whole(
    make: object, tmp_path: Path
) -> None:
    assert callable(make)
    snapshot = make(tmp_path)
    began = time.perf_counter()
    content = sealed(snapshot)
    made = time.perf_counter()
    assert unseal(content, [KEY.public]).snapshot == snapshot
    read = time.perf_counter()
    print(
        f"{len(snapshot.keys)} keys: {len(content):,} bytes, sealed in {(made - began) * 1e3:.0f}"
        f" ms, opened and compared in {(read - made) * 1e3:.0f} ms"
    )
    assert len(content) < LARGEST
