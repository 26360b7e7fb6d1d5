"""LiteLLM's lists of models as `allowed_models`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from tollhouse.importing.notes import Notes

TEAM_DECIDES = "all-team-models"
_EVERYTHING = ("*", "all-proxy-models")
_NOTHING = ("no-default-models",)


class Access:
    """Knows the aliases that were carried, the tags of access groups, and what was left behind.

    `aliases` maps a carried model name to the further names of the same deployment: LiteLLM lets a
    key that may call a model call it by its model_group_alias too.
    """

    def __init__(
        self,
        aliases: Mapping[str, Collection[str]],
        tags: Mapping[str, str],
        left_behind: Collection[str],
        notes: Notes,
    ) -> None:
        self._aliases = aliases
        self._tags = tags
        self._left_behind = left_behind
        self._notes = notes

    def knows(self, model: str) -> bool:
        """Whether this is a carried alias."""
        return model in self._aliases

    def names(self, model: str) -> list[str]:
        """An alias and its further names."""
        return [model, *self._aliases[model]]

    def allowed(self, models: list[str], what: str) -> list[str]:
        """The entries for a list that is not empty; [] allows nothing."""
        if any(model in _EVERYTHING for model in models):
            return ["*"]
        entries: dict[str, None] = {}
        for model in models:
            if model not in (*_NOTHING, TEAM_DECIDES):
                entries.update(dict.fromkeys(self._entries(model, what)))
        return list(entries)

    def _entries(self, model: str, what: str) -> list[str]:
        found = self.names(model) if self.knows(model) else []
        if model in self._tags:
            found.append(f"tag:{self._tags[model]}")
        if not found and self._matches(model):
            found.append(model)
        if not found:
            self._drop(model, what)
        return found

    def _matches(self, model: str) -> bool:
        plain = "*" in model and not set(model) & set("?[]")
        return plain and any(fnmatchcase(alias, model) for alias in self._aliases)

    def _drop(self, model: str, what: str) -> None:
        why = (
            "that model was not carried over"
            if model in self._left_behind
            else ("no model, access group or pattern of the config has that name")
        )
        instead = "add it to allowed_models once the model is in models.yaml"
        self._notes.drop("keys and teams", f"'{model}' in the models of {what}", why, instead)
