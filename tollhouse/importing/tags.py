"""LiteLLM's access groups and routing tags as the policy's tags."""

from __future__ import annotations

from collections.abc import Iterable

from tollhouse.importing.deployments import Deployment
from tollhouse.importing.values import Unique, name_of


class Tags:
    """One tag for each access group and each routing tag.

    No two share one, however they are written: a key's access hangs on `tag:NAME`, and a routing
    tag that happens to be called like an access group must not widen it.
    """

    def __init__(self, found: Iterable[Deployment]) -> None:
        self.of_access_group: dict[str, str] = {}
        self._of_routing_tag: dict[str, str] = {}
        deployments, unique = list(found), Unique()
        # Access groups have first call on their names: the lists of keys use them.
        for one in deployments:
            _name(one.access_groups, self.of_access_group, unique)
        for one in deployments:
            _name(one.routing_tags, self._of_routing_tag, unique)

    def of(self, group: Iterable[Deployment]) -> list[str]:
        """The tags of an alias, from all its deployments."""
        tags: dict[str, None] = {}
        for one in group:
            tags |= dict.fromkeys(self.of_access_group[name] for name in one.access_groups)
            tags |= dict.fromkeys(self._of_routing_tag[name] for name in one.routing_tags)
        return list(tags)


def _name(names: list[str], named: dict[str, str], unique: Unique) -> None:
    for name in names:
        if name not in named:
            named[name] = unique.take(name_of(name, "tag"))
