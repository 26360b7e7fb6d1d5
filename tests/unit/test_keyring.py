"""Keys over their life, in a policy on disk. The clock is the tests' own."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.policy import KEY, KEY_ID, SHA256, TREE, team, write_tree
from tollhouse import keys
from tollhouse.demo import DEMO_KEYS
from tollhouse.keyring import actions, identify, listing, moments
from tollhouse.policy import compiler, loader
from tollhouse.policy.compiled import Key
from tollhouse.policy.editing.errors import EditError, WouldBeRefused
from tollhouse.policy.lifetimes import EXPIRING_SECONDS, STATES, lifetimes_of, state_of

NOW = datetime(2026, 11, 28, 5, 0, 0, 250_000, tzinfo=UTC)
WEEK = timedelta(days=7)
CI = "team: web\nproject: site\nkeys: []\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path)


def web(directory: Path) -> str:
    return (directory / "teams/web.yaml").read_text()


def key_of(directory: Path, key_id: str = KEY_ID) -> Key:
    return compiler.load_snapshot(directory).keys[key_id]


def said(directory: Path, text: str, now: datetime = NOW) -> str:
    return identify.identify(compiler.load_snapshot(directory), text, now.timestamp()).said


# new


def test_a_new_key_goes_below_the_others_of_its_project(tree: Path) -> None:
    entry: dict[str, Any] = {"id": "web-2", "env": "prod", "metadata": {"owner": "ann"}}
    done = actions.new(tree, "web", "site", None, entry)
    assert done.api_key is not None and keys.looks_valid(done.api_key)
    assert web(tree) == TREE["teams/web.yaml"] + (
        f"      - id: web-2\n        sha256: {keys.sha256_hex(done.api_key)}\n"
        "        env: prod\n        metadata: {owner: ann}\n"
    )
    assert (done.place.file, done.place.line) == ("teams/web.yaml", 8)


def test_a_new_key_goes_where_its_project_has_keys(tmp_path: Path) -> None:
    bare = "team: web\nprojects:\n  site: {}\n"
    write_tree(tmp_path, teams__web=bare)
    assert actions.new(tmp_path, "web", "site", None, {"id": "a"}).place.file == "teams/web.yaml"
    filled = f"team: web\nproject: site\nkeys:\n  - {{id: b, sha256: {SHA256}}}\n"
    write_tree(tmp_path, teams__web=bare, keys__ci=filled)
    assert actions.new(tmp_path, "web", "site", None, {"id": "a"}).place.file == "keys/ci.yaml"
    more = filled.replace("id: b", "id: c").replace(SHA256, "a" * 64)
    write_tree(tmp_path, teams__web=bare, keys__ci=filled, keys__more=more)
    with pytest.raises(EditError, match=r"--file: the project has keys in keys/ci\.yaml and"):
        actions.new(tmp_path, "web", "site", None, {"id": "a"})
    chosen = actions.new(tmp_path, "web", "site", "keys/more.yaml", {"id": "a"})
    assert chosen.place.file == "keys/more.yaml"


@pytest.mark.parametrize(
    ("where", "entry", "message"),
    [
        (("wep", "site", None), {"id": "a"}, "there is no team 'wep': did you mean 'web'?"),
        (("web", "sit", None), {"id": "a"}, "the team 'web' has no project 'sit': did you mean"),
        (("web", "site", "keys/x.yaml"), {"id": "a"}, "keys/x.yaml holds no keys of this project"),
        (("web", "site", None), {"id": KEY_ID}, "'web-1' already, at teams/web.yaml:6: choose"),
        (("web", "site", None), {"id": "a", "allowed_models": ["smal"]}, "did you mean 'small'?"),
    ],
)
def test_a_new_key_that_cannot_be_changes_nothing(
    tree: Path, where: tuple[str, str, str | None], entry: dict[str, Any], message: str
) -> None:
    with pytest.raises(EditError) as refused:
        actions.new(tree, *where, entry)
    assert message in str(refused.value)
    assert web(tree) == TREE["teams/web.yaml"]


# rotate


def test_a_rotation_keeps_the_old_key_for_the_overlap(tree: Path) -> None:
    done = actions.rotate(tree, KEY_ID, WEEK, NOW)
    assert done.api_key is not None
    key = key_of(tree)
    end = datetime(2026, 12, 5, 5, 0, 1, tzinfo=UTC).timestamp()
    assert (key.sha256, key.previous) == (keys.sha256_hex(done.api_key), {SHA256: end})
    assert done.previous_until == end
    assert web(tree).splitlines()[-3:] == [
        "        previous:",
        f"          - sha256: {SHA256}",
        "            valid_until: 2026-12-05T05:00:01Z",
    ]
    assert said(tree, KEY).startswith(
        "an earlier key of web-1 (team web, project site): active, valid until 2026-12-05 05:00:01"
    )
    assert "no longer valid since" in said(tree, KEY, NOW + 2 * WEEK)


def test_a_rotation_without_overlap_forgets_the_old_key(tree: Path) -> None:
    actions.rotate(tree, KEY_ID, timedelta(), NOW)
    assert key_of(tree).previous == {}
    assert said(tree, KEY).startswith("unknown: ")


def test_a_fifth_earlier_key_is_refused_until_one_has_ended(tree: Path) -> None:
    for days in range(1, 5):
        actions.rotate(tree, KEY_ID, timedelta(days=days), NOW)
    before = web(tree)
    with pytest.raises(EditError, match="4 earlier keys of 'web-1' are still valid, the first unt"):
        actions.rotate(tree, KEY_ID, WEEK, NOW)
    assert web(tree) == before
    actions.rotate(tree, KEY_ID, timedelta(), NOW)
    assert len(key_of(tree).previous) == 4
    actions.rotate(tree, KEY_ID, WEEK, NOW + timedelta(days=2, hours=1))
    assert len(key_of(tree).previous) == 3
    actions.rotate(tree, KEY_ID, timedelta(), NOW + 4 * WEEK)
    assert "previous" not in web(tree)


def test_a_public_demo_key_does_not_outlive_its_rotation(tree: Path) -> None:
    demo = next(iter(DEMO_KEYS.values()))
    text = TREE["teams/web.yaml"].replace(SHA256, keys.sha256_hex(demo))
    write_tree(tree, teams__web=text)
    actions.rotate(tree, KEY_ID, WEEK, NOW)
    snapshot = compiler.load_snapshot(tree)
    assert keys.sha256_hex(demo) not in snapshot.keys_by_hash
    assert snapshot.keys[KEY_ID].blocked_at is None


# block, unblock, expire


def test_a_block_with_its_reason_is_taken_back_to_the_byte(tree: Path) -> None:
    done = actions.block(tree, KEY_ID, "seen in a log")
    assert web(tree) == TREE["teams/web.yaml"] + (
        "        blocked: true\n        metadata: {blocked_reason: seen in a log}\n"
    )
    assert (done.key.blocked_at, listing.why_blocked(done.key)) == ("key", "seen in a log")
    assert not actions.block(tree, KEY_ID, None).changed
    assert actions.block(tree, KEY_ID, "another").changed
    assert actions.unblock(tree, KEY_ID).changed
    assert web(tree) == TREE["teams/web.yaml"]
    assert not actions.unblock(tree, KEY_ID).changed


def test_the_reason_leaves_other_metadata_alone(tree: Path) -> None:
    before = team("metadata: {owner: ann}  # since May")
    write_tree(tree, teams__web=before)
    actions.block(tree, KEY_ID, "leak")
    assert "metadata: {owner: ann, blocked_reason: leak}  # since May" in web(tree)
    actions.unblock(tree, KEY_ID)
    assert web(tree) == before


def test_unblocking_a_key_of_a_blocked_team_leaves_it_blocked(tree: Path) -> None:
    write_tree(tree, teams__web=team("blocked: true", team_lines="blocked: true"))
    done = actions.unblock(tree, KEY_ID)
    assert (done.changed, listing.why_blocked(done.key)) == (True, "blocked by its team")


def test_an_end_is_set_moved_and_taken_away(tree: Path) -> None:
    actions.expire(tree, KEY_ID, date(2030, 1, 2))
    assert web(tree).endswith("        expires: 2030-01-02\n")
    assert not actions.expire(tree, KEY_ID, date(2030, 1, 2)).changed
    actions.expire(tree, KEY_ID, moments.moment("now", NOW))
    assert web(tree).endswith("        expires: 2026-11-28T05:00:00Z\n")
    assert state_of(key_of(tree), NOW.timestamp()) == "expired"
    actions.expire(tree, KEY_ID, None)
    assert web(tree) == TREE["teams/web.yaml"]
    assert not actions.expire(tree, KEY_ID, None).changed


@pytest.mark.parametrize("act", ["rotate", "block", "unblock", "expire"])
def test_an_unknown_id_is_named_with_the_nearest_and_a_key_is_not_repeated(
    tree: Path, act: str
) -> None:
    rest = {"rotate": (WEEK, NOW), "block": (None,), "unblock": (), "expire": (None,)}[act]
    with pytest.raises(EditError, match=r"there is no key 'web-11': did you mean 'web-1'\?"):
        getattr(actions, act)(tree, "web-11", *rest)
    with pytest.raises(EditError, match="this looks like a key: give its id") as refused:
        getattr(actions, act)(tree, KEY, *rest)
    assert KEY not in str(refused.value)


def test_an_end_that_the_policy_does_not_take_changes_nothing(tree: Path) -> None:
    with pytest.raises(WouldBeRefused, match="must lie between the years 2000 and 2999"):
        actions.expire(tree, KEY_ID, date(1999, 1, 1))
    assert web(tree) == TREE["teams/web.yaml"]


# list


def rows(directory: Path, **wanted: str) -> list[listing.Row]:
    tree = loader.load(directory)
    snapshot = compiler.compile_tree(tree)
    return listing.rows(tree, snapshot, listing.Wanted(**wanted), NOW.timestamp())


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """A key in each state."""
    text = TREE["teams/web.yaml"]
    for index, lines in enumerate(["blocked: true", "expires: 2026-12-01", "expires: 2026-01-01"]):
        text += f"      - id: web-{index + 2}\n        sha256: {'abc'[index] * 64}\n"
        text += f"        env: prod\n        {lines}\n"
    write_tree(tmp_path, teams__web=text)
    actions.rotate(tmp_path, KEY_ID, WEEK, NOW)
    return tmp_path


def test_the_list_says_state_end_and_place(four: Path) -> None:
    found = {row.id: row for row in rows(four)}
    assert [row.state for row in found.values()] == ["active", "blocked", "expiring", "expired"]
    assert found["web-2"].why == "the key itself"
    assert found["web-3"].expires == "2026-12-02T00:00:00Z"
    assert found["web-1"].previous == ["2026-12-05T05:00:01Z"]
    assert (found["web-1"].models, found["web-1"].where) == (1, "teams/web.yaml:6")


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({"team": "web"}, "1234"),
        ({"team": "other"}, ""),
        ({"project": "site", "env": "prod"}, "234"),
        ({"state": "expired"}, "4"),
    ],
)
def test_the_list_is_narrowed(four: Path, wanted: dict[str, str], ids: str) -> None:
    assert [row.id for row in rows(four, **wanted)] == [f"web-{digit}" for digit in ids]


def test_the_list_is_printed_for_people_and_for_programs(four: Path) -> None:
    found = rows(four)
    assert [each["id"] for each in json.loads(listing.as_json(found))] == [row.id for row in found]
    [first, *_] = csv.DictReader(io.StringIO(listing.as_csv(found)))
    assert (first["id"], first["previous"]) == ("web-1", "2026-12-05T05:00:01Z")
    header, line, *_ = listing.as_table(found).splitlines()
    assert header.split()[:2] == ["ID", "TEAM"]
    assert line.index("web ") == header.index("TEAM")


# identify


def test_a_string_is_recognised_and_never_repeated(four: Path) -> None:
    typo = KEY[:-1] + ("0" if KEY[-1] != "0" else "1")
    other = keys.generate()
    assert said(four, typo) == "mistyped: the checksum of this tlh_ key is wrong"
    assert said(four, other).startswith("unknown: no key of this policy")
    assert said(four, "sk-other").startswith("unknown: ")
    for text in (typo, other, KEY):
        assert text not in said(four, text)


# Moments


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2030-12-31", date(2030, 12, 31)),
        ("2030-12-31T18:00:00Z", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("2030-12-31T18:00", datetime(2030, 12, 31, 18, tzinfo=UTC)),
        ("30d", datetime(2026, 12, 28, 5, 0, 1, tzinfo=UTC)),
        ("now", datetime(2026, 11, 28, 5, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_date_a_time_or_a_duration(text: str, meant: date) -> None:
    assert moments.moment(text, NOW) == meant


@pytest.mark.parametrize("text", ["soon", "2030-13-01", "", "-1d", "d"])
def test_what_is_no_moment_and_no_duration_says_what_to_write(text: str) -> None:
    with pytest.raises(moments.MomentError, match="write YYYY-MM-DD"):
        moments.moment(text, NOW)
    with pytest.raises(moments.MomentError, match="write 12h, 7d or 30d"):
        moments.duration(text)


def test_durations_have_units() -> None:
    assert [moments.duration(text) for text in ("0", "90m", "12h", "7d", "2w")] == [
        timedelta(),
        timedelta(minutes=90),
        timedelta(hours=12),
        WEEK,
        2 * WEEK,
    ]


# Counts


def test_counts_by_state_are_those_of_the_keys_one_by_one(four: Path) -> None:
    snapshot = compiler.load_snapshot(four)
    [lifetimes] = lifetimes_of(snapshot.teams, snapshot.keys.values()).values()
    for days in (-400, -15, 0, 3, 4, 5, 20):
        now = (NOW + timedelta(days=days)).timestamp()
        states = [state_of(key, now) for key in snapshot.keys.values()]
        assert [lifetimes.count(state, now) for state in STATES] == list(map(states.count, STATES))
    end = datetime(2026, 12, 2, tzinfo=UTC).timestamp()
    assert lifetimes.next_end(end - 1) == end
    assert lifetimes.count("expiring", end - EXPIRING_SECONDS) == 1
    assert lifetimes.next_end(end) == float("inf")
