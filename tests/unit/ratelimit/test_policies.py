"""A call is counted by the policy under which authz_service granted it, whoever reloads first."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ratelimit_service import toll
from ratelimit_service.policies import Policies, UnknownGrant
from ratelimit_service.size import Call
from tests.unit.ratelimit.builders import KEY_ID, size, write_policy
from tollhouse.policy.compiled import Snapshot
from tollhouse.policy.source import PolicyDirectory
from tollhouse.policy.watch import PolicyHolder


class Counting(PolicyDirectory):
    """Counts its readings."""

    readings = 0

    def load(self) -> Snapshot:
        self.readings += 1
        return super().load()


class Tree:
    """A policy, who counts by it, and what was edited since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = Counting(write_policy(path))
        self.holder = PolicyHolder(self.source)
        self.policies = Policies(self.holder)

    def edit(self, key_id: str) -> str:
        """Another key instead of the one before; the version on disk, which the holder has not."""
        return PolicyDirectory(write_policy(self.path, key_id=key_id)).load().version

    async def version(self, granted_by: str, key_id: str = KEY_ID) -> str:
        call = Call(key_id, "small", size(), policy_version=granted_by)
        return (await self.policies.find(call)).snapshot.version


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


async def test_a_key_that_was_just_removed_is_counted_by_the_policy_that_granted_it(
    tree: Tree,
) -> None:
    first = tree.holder.current.version
    tree.edit("another")
    tree.holder.reload()
    assert await tree.version(first) == first


async def test_a_call_granted_by_a_newer_policy_waits_until_it_is_read_here_too(
    tree: Tree,
) -> None:
    newer = tree.edit("another")
    assert await tree.version(newer, "another") == newer


async def test_what_a_call_is_counted_by_is_worked_out_once_and_anew_after_an_edit(
    tree: Tree,
) -> None:
    call = Call(KEY_ID, "small", size())
    before = await tree.policies.find(call)
    assert await tree.policies.find(call) is before
    write_policy(tree.path, team="requests_per_minute: 7")
    tree.holder.reload()
    after = await tree.policies.find(call)
    assert after is await tree.policies.find(call)
    limits = [scope.limits.requests_per_minute for scope in after.slots[0].scopes]
    assert limits == [None, None, 7]


def test_no_more_is_kept_of_a_policy_than_has_room(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toll, "_MOST_KEPT", 1)
    tolls = toll.Tolls(tree.holder.current)
    small, vectors = tolls.find(KEY_ID, "small"), tolls.find(KEY_ID, "vectors")
    assert tolls.find(KEY_ID, "vectors") is vectors
    again = tolls.find(KEY_ID, "small")
    assert again == small
    assert again is not small


async def test_many_such_calls_wait_for_one_reading(tree: Tree) -> None:
    newer, before = tree.edit("another"), tree.source.readings
    calls = (tree.version(newer, "another") for _ in range(50))
    assert set(await asyncio.gather(*calls)) == {newer}
    assert tree.source.readings - before == 1


async def test_a_version_of_another_tree_is_looked_for_once_and_counted_by_ours(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed = []
    monkeypatch.setattr(tree.holder, "refresh", lambda: refreshed.append(1))
    for _ in range(3):
        assert await tree.version("of another tree") == tree.holder.current.version
    assert len(refreshed) == 1


async def test_a_key_that_no_policy_knows_is_not_counted(tree: Tree) -> None:
    with pytest.raises(UnknownGrant, match="have different policies"):
        await tree.version("of another tree", "stranger")
