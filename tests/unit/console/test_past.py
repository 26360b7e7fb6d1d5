"""Which policies were in force is recorded and kept, whoever edited them."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.actors import Actor
from console.edits.editor import Planned, PolicyEditor
from console.edits.keys import Keys
from console.services import Services
from console.shapes.keys import KeyPatch
from console.shapes.limits import Limits
from tests.support import console
from tests.support.policy import KEY_ID, write_tree

ADMIN = Actor("ops", "admin", None, "token")


class Place:
    """A tree and a state directory, and consoles that run there one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = write_tree(root / "policies", management="tokens: []\n")

    def start(self) -> Services:
        return console.services(self.tree, self.root / "state", "unix:///nobody")

    def edit(self, requests: int) -> None:
        """By hand."""
        (self.tree / "org.yaml").write_text(f"limits: {{requests_per_day: {requests}}}\n")

    def records(self) -> list[dict[str, Any]]:
        path = self.root / "state/audit.json"
        return [json.loads(line) for line in path.read_text().splitlines()]


def patch(services: Services, requests: int) -> None:
    limits = KeyPatch(limits=Limits(requests_per_day=requests))
    services.keys.patch(ADMIN, KEY_ID, limits)


def reload(services: Services) -> None:
    """As the watching of the directory would."""
    services.current.holder.reload()
    services.current.loaded(services.current.holder.current)


def test_the_first_policy_is_recorded_and_the_same_one_at_a_restart_is_not(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for _ in range(2):
        place.start()
    [record] = place.records()
    assert (record["action"], record["actor"], record["policy_before"]) == (
        "policy.changed",
        None,
        None,
    )


def test_what_was_edited_while_no_console_ran_is_recorded_at_its_start(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.start()
    place.edit(7)
    place.start()
    first, second = place.records()
    assert second["policy_before"] == first["policy_after"]
    assert "7" in json.dumps(second["after"]["changes"])


def test_an_edit_of_ours_is_recorded_once_and_not_again_when_it_is_loaded(tmp_path: Path) -> None:
    place = Place(tmp_path)
    services = place.start()
    patch(services, 1)
    patch(services, 2)
    reload(services)
    assert [record["action"] for record in place.records()] == [
        "policy.changed",
        "key.change",
        "key.change",
    ]


def test_every_version_of_ours_can_be_compared_though_nobody_loaded_it(tmp_path: Path) -> None:
    services = Place(tmp_path).start()
    for number in (1, 2, 3):
        patch(services, number)
    assert len(list(services.history.kept())) == 4


def test_an_edit_by_hand_is_recorded_even_if_it_brings_back_what_we_once_wrote(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    services = place.start()
    patch(services, 1)
    text = (place.tree / "teams/web.yaml").read_text()
    patch(services, 2)
    reload(services)
    (place.tree / "teams/web.yaml").write_text(text)
    reload(services)
    assert [record["action"] for record in place.records()][-1] == "policy.changed"


def test_an_edit_by_hand_that_an_edit_of_ours_follows_at_once_is_recorded_first(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    services = place.start()
    found = place.records()[-1]["policy_after"]
    (place.tree / "management.yaml").write_text(
        f"tokens: [{{id: stealth, sha256: {'ab' * 32}, role: admin}}]\n"
    )
    patch(services, 1)
    by_hand, ours = place.records()[1:]
    assert (by_hand["action"], by_hand["policy_before"]) == ("policy.changed", found)
    assert "new token stealth: admin" in json.dumps(by_hand["after"])
    assert ours["policy_before"] == by_hand["policy_after"]
    kept = {each.version for each in services.history.kept()}
    assert {by_hand["policy_after"], ours["policy_after"]} <= kept


def test_no_record_of_a_policy_begins_elsewhere_than_the_one_before_ended(tmp_path: Path) -> None:
    place = Place(tmp_path)
    services = place.start()
    for number in range(6):
        if number % 2:
            place.edit(number + 100)
        if number % 3:
            patch(services, number + 1)
        if number % 4 == 0:
            reload(services)
    reload(services)
    records = place.records()
    for before, after in itertools.pairwise(records):
        assert after["policy_before"] == before["policy_after"]
    assert records[-1]["policy_after"] == services.reader.now().snapshot.version


def test_what_is_loaded_late_is_not_recorded_again(tmp_path: Path) -> None:
    place = Place(tmp_path)
    services = place.start()
    older = services.current.holder.current
    patch(services, 1)
    services.current.loaded(older)
    assert [record["action"] for record in place.records()] == ["policy.changed", "key.change"]


def test_while_the_files_hold_a_mistake_the_policy_in_force_is_shown(tmp_path: Path) -> None:
    place = Place(tmp_path)
    services = place.start()
    services.reader.now()
    place.edit(5)
    reload(services)
    in_force = services.current.policy.snapshot.version
    (place.tree / "org.yaml").write_text("org: [\n")
    assert services.reader.now().snapshot.version == in_force


def test_an_edit_that_was_recorded_and_could_not_be_written_is_recorded_as_failed(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path)
    services = place.start()
    recording = services.recording
    planned: list[Planned] = []
    editor = PolicyEditor(place.tree, before_write=planned.append)
    Keys(services.reader, editor, lambda: datetime.now(UTC)).patch(
        ADMIN, KEY_ID, KeyPatch(limits=Limits(requests_per_day=3))
    )
    recording.write(planned[0])
    recording.undone(planned[0])
    assert [(each["action"], each["outcome"]) for each in place.records()[1:]] == [
        ("key.change", "allowed"),
        ("key.change", "failed"),
    ]
    # What is in force then is not what the last record of a policy says.
    recording.changed(planned[0].new.snapshot)
    assert place.records()[-1]["policy_before"] == planned[0].old.snapshot.version
