"""What a call and a reload cost does not grow with the policy: counted, not timed."""

from __future__ import annotations

import gc
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from authz_service.decision import decide
from authz_service.metrics import Metrics
from authz_service.service import AuthzService
from authz_service.verdicts import Call, Granted, Refused
from bench import big_policy
from tests.support.policy import write_tree
from tollhouse.keys import PREFIX
from tollhouse.policy import teams
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.compiler import PolicyLoader, load_snapshot
from tollhouse.policy.documents import Document
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder
from tollhouse.serving.background import InBackground

CHAT = {"method": "POST", "path": "/v1/chat/completions", "endpoint": "chat/completions"}
NOW = 1_795_521_600.0  # 2026-11-24T12:00:00Z


def steps(work: Callable[[], object]) -> int:
    """How many instructions of Python, and calls into C, some work takes."""
    counted: Counter[str] = Counter()

    def trace(frame: object, what: str, _argument: object) -> object:
        counted[what] += 1
        frame.f_trace_opcodes = True  # type: ignore[attr-defined]
        return trace

    def profile(_frame: object, what: str, _argument: object) -> None:
        counted[what] += what == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(profile)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return counted["opcode"] + counted["c_call"]


def of_keys(directory: Path, teams_: int, keys_per_team: int) -> Snapshot:
    return load_snapshot(big_policy.write(directory / str(teams_), teams_, keys_per_team))


@pytest.mark.parametrize(
    ("api_key", "model", "expected"),
    [
        (big_policy.secret(0, 1), "model-1", Granted),
        (big_policy.secret(0, 1), "model-19", Refused),
        (f"{PREFIX}unknown", "model-1", Refused),
    ],
)
def test_a_decision_takes_the_same_steps_with_ten_keys_and_with_ten_thousand(
    tmp_path: Path, api_key: str, model: str, expected: type
):
    call = Call(**CHAT, api_key=api_key, model=model)
    few, many = of_keys(tmp_path, 1, 10), of_keys(tmp_path, 50, 200)
    assert (len(few.keys), len(many.keys)) == (10, 10_000)
    taken = []
    for snapshot in (few, many):
        assert isinstance(decide(snapshot, call, NOW), expected)
        taken.append(steps(lambda snapshot=snapshot: decide(snapshot, call, NOW)))
    assert taken[0] == taken[1] > 50


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file is parsed and each part is compiled."""
    count: Counter[str] = Counter()
    read, compile_ = Document.read, teams.PartCompiler.team

    def counting_read(document: Document) -> object:
        count[f"parsed {document.file}"] += 1
        return read(document)

    def counting_compile(compiler: teams.PartCompiler, source: teams.Source) -> object:
        count[f"compiled {source.document.file}"] += 1
        return compile_(compiler, source)

    monkeypatch.setattr(Document, "read", counting_read)
    monkeypatch.setattr(teams.PartCompiler, "team", counting_compile)
    return count


def test_a_reload_after_an_edit_of_one_file_parses_and_compiles_that_file_alone(
    tmp_path: Path, counted: Counter[str]
):
    directory = big_policy.write(tmp_path / "policies", teams=5, keys_per_team=4)
    loader = PolicyLoader()
    before = loader.load(directory)
    assert sum(counted.values()) == 3 + 5 + 5
    counted.clear()
    edited = big_policy.team_file(directory, 3)
    edited.write_text(edited.read_text() + "blocked: true\n")
    after = loader.load(directory)
    assert counted == {"parsed teams/team-0003.yaml": 1, "compiled teams/team-0003.yaml": 1}
    blocked = {key.team for key in after.keys.values() if key.blocked_at}
    assert blocked == {"team-0003"}
    assert all(
        after.keys[id_] is key for id_, key in before.keys.items() if key.team not in blocked
    )


def test_an_edit_of_what_no_team_is_compiled_from_compiles_no_team(
    tmp_path: Path, counted: Counter[str]
):
    directory = write_tree(tmp_path)
    loader = PolicyLoader()
    loader.load(directory)
    counted.clear()
    models = directory / "models.yaml"
    models.write_text(
        models.read_text().replace("output_per_million: 0.6", "output_per_million: 7")
    )
    loader.load(directory)
    assert counted == {"parsed models.yaml": 1}


def test_what_is_loaded_beside_calls_is_not_scanned_for_cycles_and_scans_go_on(tmp_path: Path):
    before = sys.getswitchinterval()
    try:
        holder = PolicyHolder(InBackground(PolicyDirectory(write_tree(tmp_path))))
        scanned = {id(each) for each in gc.get_objects()}
        assert not scanned & {id(key) for key in holder.current.keys.values()}
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        sys.setswitchinterval(before)


def test_what_a_reload_replaced_is_gone_with_its_answers_and_waits_for_no_scan(tmp_path: Path):
    directory = big_policy.write(tmp_path / "policies", teams=1, keys_per_team=4)
    loader = PolicyLoader()
    service = AuthzService(loader.load(directory), Metrics(CollectorRegistry()))
    gc.disable()
    try:
        replaced = weakref.ref(service._state[1])
        service.adopt(loader.load(directory))
        assert replaced() is None
    finally:
        gc.enable()
