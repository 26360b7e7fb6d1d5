"""Under load a policy tree is edited, renamed, broken and mended in every way that people and
programs have: no call is decided by a mixture of two versions, and none fails for it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support import marked_tree
from tests.support.gateway import Gateway, running, test_key, wait_for
from tollhouse.policy.compiler import load_snapshot

CLIENTS = 4
ROUNDS = 2
SECONDS_AT_REST = 0.9


@dataclass
class Load:
    """Clients that call without pause, each with the keys of its own teams."""

    gateway: Gateway
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        threads = [threading.Thread(target=self._call, args=(n, stop)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _call(self, client: int, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.gateway.endpoint, timeout=30, trust_env=False) as http:
            number = client
            while not stop.is_set():
                number = (number + CLIENTS) % marked_tree.TEAMS
                answer = http.post(
                    "/v1/chat/completions",
                    headers={"authorization": f"Bearer {test_key(f'key-{number:02}')}"},
                    json={
                        "model": ("chat", "chat-other")[number % 3 == 0],
                        "messages": [{"role": "user", "content": "x"}],
                    },
                )
                self.statuses[answer.status_code] += 1
                if answer.status_code != 200:
                    self.failures.append(answer.text[:300])


def versions_of(root: Path, numbers: range) -> dict[str, str]:
    """The hash of each whole tree, as the services' loader has it, to its mark."""
    trees = {
        f"v{number}": marked_tree.write(root / str(number), marked_tree.tree(number))
        for number in numbers
    }
    return {load_snapshot(path).version: mark for mark, path in trees.items()}


def mixed(gateway: Gateway, known: dict[str, str]) -> tuple[list[str], Counter[str]]:
    """Log lines, and calls at the provider, in which two versions meet; how often each was seen."""
    found, seen = [], Counter[str]()
    for line in gateway.log_lines():
        mark = known.get(line["policy_version"])
        facts = {line["project"].removeprefix("site-"), line["provider_model"].rpartition("-")[2]}
        if mark is None or facts != {mark}:
            found.append(f"log: {line['policy_version']} {mark} {facts}")
        seen[mark or "?"] += 1
    for one in gateway.received():
        body = json.loads(one.body)
        if body["model"].rpartition("-")[2] != body["user"]:
            found.append(f"provider: {body['model']} {body['user']}")
    return found, seen


def report(what: str, load: Load, edits: int, seen: Counter[str], found: list[str]) -> None:
    print(
        f"\n{what}: {sum(load.statuses.values())} requests {dict(load.statuses)}, {edits} edits, "
        f"{len(seen)} versions seen, {len(found)} mixed"
    )


def edited(
    gateway: Gateway, known: dict[str, str], edits: list[Callable[[], None]], what: str
) -> None:
    load = Load(gateway)
    with load.running():
        for edit in edits:
            edit()
            time.sleep(SECONDS_AT_REST)
    total = sum(load.statuses.values())
    wait_for(lambda: len(gateway.log_lines()) >= total, "every log line")
    found, seen = mixed(gateway, known)
    report(what, load, len(edits), seen, found)
    assert load.failures == []
    assert found == []
    # Every version was at rest long enough to be taken: nothing was merely not looked at.
    assert len(seen) >= len(edits) * 3 // 4


def test_edits_in_place_and_checkouts_mix_nothing(tmp_path: Path) -> None:
    changes = marked_tree.EDITS * ROUNDS
    numbers = range(len(changes) * 2 + 1)
    repository = marked_tree.Repository(tmp_path / "policies", numbers)
    repository.checkout(0)
    known = versions_of(tmp_path / "whole", numbers)
    edits: list[Callable[[], None]] = []
    for step, change in enumerate(changes):
        in_place, commit = 2 * step + 1, 2 * step + 2
        files = marked_tree.tree(in_place)
        edits.append(lambda change=change, files=files: change(repository.directory, files))  # type: ignore[misc]
        edits.append(lambda commit=commit: repository.checkout(commit))  # type: ignore[misc]
    with running(repository.directory, tmp_path / "run") as gateway:
        edited(gateway, known, edits, "edits in place and git checkouts of 22 files")


def test_swaps_of_a_mounted_configmap_mix_nothing(tmp_path: Path) -> None:
    numbers = range(9)
    mount = marked_tree.Mount(tmp_path / "policies", 0)
    known = versions_of(tmp_path / "whole", numbers)
    edits: list[Callable[[], None]] = [
        lambda number=number: mount.swap(number)  # type: ignore[misc]
        for number in numbers[1:]
    ]
    with running(mount.directory, tmp_path / "run") as gateway:
        edited(gateway, known, edits, "swaps of ..data")
