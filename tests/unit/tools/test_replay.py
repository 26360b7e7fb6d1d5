"""`tollhouse replay`: what another policy would have decided on what was logged."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from authz_service.decision import decide
from authz_service.replay.decider import Decider
from authz_service.replay.line import Question
from authz_service.verdicts import Call, Refused
from tests.unit.authz.builders import KEY_IDS, NOW, OPS, WEB, key, snapshot_of, write_policy
from tests.unit.tools.running import Ran, tollhouse

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
TIME = "2026-11-24T12:00:00.000Z"
GRANTED: dict[str, Any] = {"provider": "openai", "decision": "allowed", "reason": "allowed"}

# Of each line of a real log the fields that are not read, too.
OTHER: dict[str, Any] = {
    "status": 200,
    "flags": "-",
    "usage": {"input_tokens": 1},
    "reservation": {"slots": ["team:web"]},
    "project": "site",
}


def line(key_id: str | None = "app", alias: str | None = "small", **fields: Any) -> dict[str, Any]:
    """A granted call, unless `fields` say otherwise; None leaves a field out."""
    who = {"key_id": key_id, "team": "web"} if key_id else {}
    asked = {"method": "POST", "path": CHAT, "alias": alias, "time": TIME, "request_id": "id-1"}
    made = {**OTHER, **who, **asked, **GRANTED, **fields}
    return {name: value for name, value in made.items() if value is not None}


def refused(code: str, **fields: Any) -> dict[str, Any]:
    return line(**{"provider": None, "decision": code, "reason": "…", **fields})


def write_log(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return path


def replay(folder: Path, *lines: dict[str, Any], words: tuple[str, ...] = (), **policy: str) -> Ran:
    log = write_log(folder / "access.json", lines)
    tree = write_policy(folder / "new", **policy)
    return tollhouse("replay", "--log", log, "--policies", tree, *words)


def found(folder: Path, *lines: dict[str, Any], **policy: str) -> dict[str, Any]:
    data: dict[str, Any] = replay(folder, *lines, words=("--format", "json"), **policy).data
    return data


def changed(data: dict[str, Any], kind: str) -> list[tuple[Any, ...]]:
    return [(r["key_id"], r["alias"], r["old"], r["new"], r["requests"]) for r in data[kind]]


NO_LARGE = WEB.replace("allowed_models: [small, large", "allowed_models: [small")


def test_what_a_policy_would_refuse_is_told_by_team_key_alias_with_why_and_when(tmp_path: Path):
    lines = [
        line(),
        line(alias="large", time="2026-11-24T12:00:02.000Z", request_id="id-2"),
        line(alias="large", time="2026-11-24T12:00:01.000Z", request_id="id-3"),
    ]
    shown = replay(tmp_path, *lines, teams__web=NO_LARGE)
    assert shown.code == 1
    assert shown.out.splitlines()[1:] == [
        "",
        "newly denied: 2 requests",
        "  web  app  large  2 requests  model_not_allowed",
        "    Key app may not call large: it is not among the allowed_models of the project 'site'."
        " GET /v1/models lists the ones it may call; ask web-leads for more.",
        "    2026-11-24T12:00:01.000Z to 2026-11-24T12:00:02.000Z, e.g. id-2, id-3",
        "",
        "1  allowed, as before",
        "0  refused, as before",
    ]


def test_the_same_policy_denies_nothing_that_passed(tmp_path: Path):
    lines = [
        line(),
        line(alias="vectors", path=EMBEDDINGS),
        line(alias=None, method="GET", path="/v1/models", provider=None, reason="listed models"),
        refused("model_not_allowed", alias="secret"),
        refused("model_not_allowed", alias="secret", method="GET", path="/v1/models/secret"),
        refused("model_not_found", alias=None, method="GET", path="/v1/models/nothing"),
        refused("endpoint_not_allowed", alias="vectors"),
        refused("endpoint_not_allowed", alias=None, path="/v1/batches"),
        refused("unknown_endpoint", alias=None, path="/v2"),
        refused("key_blocked", key_id="blocked", alias=None),
        refused("key_expired", key_id="expired", alias=None),
    ]
    data = found(tmp_path, *lines)
    assert data["unchanged"] == {
        **{"allowed": 3, "model_not_allowed": 2, "model_not_found": 1},
        **{"endpoint_not_allowed": 2, "unknown_endpoint": 1, "key_blocked": 1, "key_expired": 1},
    }
    assert data["newly_denied"] == data["newly_allowed"] == data["refused_otherwise"] == []
    assert replay(tmp_path, *lines).code == 0


@pytest.mark.parametrize(
    "after",
    ["rate_limit_requests", "budget_exceeded", "concurrency_limit", "provider_error", None],
)
def test_what_came_after_the_policy_counts_as_allowed_by_it(tmp_path: Path, after: str | None):
    data = found(tmp_path, line(alias="large", decision=after), teams__web=NO_LARGE)
    assert changed(data, "newly_denied") == [("app", "large", "allowed", "model_not_allowed", 1)]


def test_what_was_refused_and_would_pass_is_newly_allowed_and_no_reason_to_fail(tmp_path: Path):
    more = WEB.replace("denied_models: [secret]\n", "")
    shown = replay(tmp_path, refused("model_not_allowed", alias="secret"), teams__web=more)
    assert (
        "newly allowed: 1 request\n  web  app  secret  1 request  model_not_allowed → allowed"
        in (shown.out)
    )
    assert shown.code == 0


def test_what_would_be_refused_with_another_code_is_told_apart(tmp_path: Path):
    blocked = WEB.replace("owner: web-leads", "owner: web-leads\nblocked: true")
    data = found(tmp_path, refused("model_not_allowed", alias="secret"), teams__web=blocked)
    assert changed(data, "refused_otherwise") == [
        ("app", "secret", "model_not_allowed", "key_blocked", 1)
    ]


def test_each_call_is_judged_at_its_own_time(tmp_path: Path):
    before, at = "2026-11-24T23:59:59.999Z", "2026-11-25T00:00:00.000Z"
    calls = [line("expiring", time=time) for time in (before, at, before)]
    data = found(tmp_path, *calls)
    assert data["unchanged"] == {"allowed": 2}
    assert changed(data, "newly_denied") == [("expiring", "small", "allowed", "key_expired", 1)]


def test_a_call_with_a_replaced_key_is_judged_by_what_is_left_of_it(tmp_path: Path):
    call = line("rotated", credential="previous")
    assert found(tmp_path, call)["unchanged"] == {"allowed": 1}
    late = line("rotated", credential="previous", time="2026-12-06T00:00:00.000Z")
    denied = changed(found(tmp_path, late), "newly_denied")
    assert denied == [("rotated", "small", "allowed", "key_expired", 1)]
    dropped = "\n".join(one for one in WEB.splitlines() if "previous:" not in one)
    denied = changed(found(tmp_path, call, teams__web=dropped), "newly_denied")
    assert denied == [("rotated", "small", "allowed", "invalid_api_key", 1)]


def test_a_replaced_key_that_had_expired_is_not_the_key(tmp_path: Path):
    replaced = decide(
        snapshot_of(tmp_path / "p"),
        Call("POST", CHAT, key("older"), "chat/completions", "small"),
        NOW,
    )
    assert isinstance(replaced, Refused)
    line_of_it = refused("key_expired", key_id="rotated", alias=None, reason=replaced.message,
                         time="2026-12-06T00:00:00.000Z")  # fmt: skip
    assert found(tmp_path, line_of_it)["unchanged"] == {"key_expired": 1}


def test_a_key_that_the_policy_does_not_know_is_denied_and_listed(tmp_path: Path):
    shown = replay(tmp_path, line("gone"), line("gone"))
    assert "the policy has no key of this id" in shown.out
    assert shown.out.splitlines()[-1] == "keys that the policy does not know: gone"
    data = found(tmp_path, line("gone"))
    assert changed(data, "newly_denied") == [("gone", "small", "allowed", "invalid_api_key", 1)]
    assert data["unknown_keys"] == ["gone"]


def test_rules_in_shadow_are_counted_apart(tmp_path: Path):
    shown = replay(tmp_path, line("watched", "large"), line("watched", "small"))
    assert shown.code == 0
    assert shown.out.splitlines()[2:6] == [
        "allowed, and logged as would_deny by rules in shadow: 1 request",
        "  web  watched  large  1 request",
        "    the key 'watched' would",
        f"    {TIME} to {TIME}, e.g. id-1",
    ]
    assert found(tmp_path, line("watched", "large"))["unchanged"] == {"allowed": 1}


def test_what_cannot_be_compared_is_counted_by_why(tmp_path: Path):
    lines = [
        refused("invalid_api_key", key_id=None, alias=None),
        refused("invalid_body", alias=None),
        refused("parameter_not_allowed", alias=None),
        refused("model_not_found", alias=None),
        refused("key_blocked", alias=None),
        line(provider=None, decision=None, reason=None),
    ]
    data = found(tmp_path, *lines)
    assert data["not_compared"] == {"no_key": 1, "body": 2, "no_model": 2, "no_decision": 1}
    shown = replay(tmp_path, *lines).out
    assert "2  not compared: they were refused for what they sent" in shown
    assert "2  not compared: they do not say which model was called" in shown
    assert "1  not compared: they came without a known key" in shown
    assert "1  not compared: they ended before a decision" in shown


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "7", "{}", '{"key_id": 7}', '{"key_id": "app", "provider": "openai"}',
     json.dumps(line(time="noon", key_id="expiring")), json.dumps(line(path=None))],
)  # fmt: skip
def test_a_line_that_is_none_of_a_log_is_told_with_its_place_and_not_repeated(
    tmp_path: Path, text: str
):
    log = tmp_path / "access.json"
    log.write_text(f"{json.dumps(line())}\n{text}\n{json.dumps(line())}\n")
    tree = write_policy(tmp_path / "new")
    shown = tollhouse("replay", "--log", log, "--policies", tree)
    assert shown.err == f"{log}:2: not a line of an access log\n"
    assert "2  allowed, as before" in shown.out
    assert "1  not lines of an access log" in shown.out


def test_a_line_that_is_still_being_written_is_left(tmp_path: Path):
    log = tmp_path / "access.json"
    log.write_text(json.dumps(line()) + "\n" + json.dumps(line())[:50])
    shown = tollhouse("replay", "--log", log, "--policies", write_policy(tmp_path / "new"))
    assert (shown.err, shown.out[:13]) == ("", "1 lines read,")


def test_rotated_and_packed_logs_are_read_by_a_pattern(tmp_path: Path):
    write_log(tmp_path / "access.json", [line()])
    packed = gzip.compress((tmp_path / "access.json").read_bytes())
    (tmp_path / "access.json.1.gz").write_bytes(packed + packed)
    tree, pattern = write_policy(tmp_path / "new"), str(tmp_path / "access.json*")
    shown = tollhouse("replay", "--log", pattern, "--policies", tree)
    assert "3  allowed, as before" in shown.out


def test_two_policies_are_compared_whatever_the_log_says(tmp_path: Path):
    old = write_policy(tmp_path / "old", teams__web=NO_LARGE)
    words = ("--against", str(old), "--format", "json")
    lines = (line(alias="large"), line("blocked", "small"), line("gone", "small"))
    shown = replay(tmp_path, *lines, words=words)
    assert shown.code == 0
    assert changed(shown.data, "newly_allowed") == [
        ("app", "large", "model_not_allowed", "allowed", 1)
    ]
    assert shown.data["unchanged"] == {"key_blocked": 1, "invalid_api_key": 1}


def test_csv_has_a_row_for_calls_that_changed_alike(tmp_path: Path):
    lines = (line(alias="large", request_id=f"id-{number}") for number in range(5))
    shown = replay(tmp_path, *lines, words=("--format", "csv"), teams__web=NO_LARGE)
    [row] = csv.DictReader(io.StringIO(shown.out))
    assert row["reason"].startswith("Key app may not call large")
    assert {**row, "reason": ""} == {
        **{"change": "newly_denied", "team": "web", "key_id": "app", "alias": "large"},
        **{"old": "allowed", "new": "model_not_allowed", "requests": "5", "reason": ""},
        **{"first": TIME, "last": TIME, "examples": "id-0 id-1 id-2"},
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--log", "{}/no.json"), "error: {}/no.json is not a file that can be read"),
        (("--log", "{}/no*"), "error: no file matches {}/no*"),
        (("--log", "{}/bad.gz"), "error: {}/bad.gz is a damaged gzip file"),
        (("--log", "{}/a.json", "--against", "{}/no"), "error: {}/no is neither a directory nor"),
    ],
)
def test_what_cannot_be_read_is_said_with_status_2(
    tmp_path: Path, words: tuple[str, ...], said: str
):
    write_log(tmp_path / "a.json", [line()])
    (tmp_path / "bad.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    tree = write_policy(tmp_path / "new")
    shown = tollhouse("replay", "--policies", tree, *(word.format(tmp_path) for word in words))
    assert shown.err.startswith(said.format(tmp_path))
    assert (shown.code, shown.out) == (2, "")


def test_a_bad_policy_is_told_with_its_problems(tmp_path: Path):
    shown = replay(tmp_path, line(), org="org: [a]\n")
    assert (
        shown.err.splitlines()[0] == f"{tmp_path}/new/org.yaml:1:6: 'org' must be text, not a list"
    )
    assert shown.code == 2


def test_the_verdict_is_what_the_service_decides_for_the_key_itself(tmp_path: Path):
    snapshot = snapshot_of(tmp_path, teams__ops=OPS)
    decider = Decider(snapshot)
    calls = [
        *(("small", "chat/completions"), ("vectors", "embeddings")),
        *(("secret", "chat/completions"), ("small", "embeddings")),
    ]
    for key_id in KEY_IDS:
        for alias, endpoint in calls:
            call = Call("POST", f"/v1/{endpoint}", key(key_id), endpoint, alias)
            decision = decide(snapshot, call, NOW)
            code = decision.code if isinstance(decision, Refused) else "allowed"
            asked = Question(key_id, alias, "POST", f"/v1/{endpoint}", is_previous=False)
            assert decider.decide(asked, TIME).code == code


def test_paths_without_end_do_not_fill_the_memory(tmp_path: Path):
    decider = Decider(snapshot_of(tmp_path), most_remembered=10)
    for number in range(1000):
        asked = Question("app", None, "GET", f"/v1/models/{number}", is_previous=False)
        assert decider.decide(asked, TIME).code == "model_not_found"
    assert len(decider._remembered) <= 10


def test_half_a_million_lines_are_added_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """How fast is printed only."""
    aliases = ("small", "large", "vectors")
    block = [
        line(alias=aliases[number % 3], request_id=f"id-{number}", reason="allowed" * 60)
        for number in range(5000)
    ]
    packed = gzip.compress(write_log(tmp_path / "block", block).read_bytes(), 1)
    (tmp_path / "access.json.gz").write_bytes(packed * 100)
    tree = write_policy(tmp_path / "new", teams__web=NO_LARGE)
    shown = tollhouse("replay", "--log", tmp_path / "access.json.gz", "--policies", tree)
    with capsys.disabled():
        print(f"\nreplay: {shown.out.splitlines()[0]}")
    assert shown.out.startswith("500,000 lines read, ")
    assert "newly denied: 333,300 requests" in shown.out
    assert "166,700  allowed, as before" in shown.out
