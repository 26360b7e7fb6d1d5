"""Models, which are aliases: made, changed and deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from console.actors import Actor
from console.edits.data import Data, etag, full, of_model
from console.edits.editor import Change, PolicyEditor
from console.edits.etags import require as require_etag
from console.edits.finding import find_model
from console.edits.key_changes import merged_limits
from console.edits.laying import lay
from console.edits.paging import page
from console.edits.policy import Policy
from console.edits.prices import patched
from console.edits.reader import PolicyReader
from console.edits.using import require_unused_model
from console.edits.views import model_view
from console.permissions import require
from console.problems import ManageError
from console.shapes.base import Deleted
from console.shapes.models import (
    DeploymentOf,
    ModelCreate,
    ModelList,
    ModelPatch,
    ModelQuery,
    ModelView,
)
from tollhouse.endpoints import UNCHECKED
from tollhouse.policy.deployments import stated
from tollhouse.policy.documents import Path
from tollhouse.policy.editing.draft import Draft
from tollhouse.policy.model_files import ModelFile
from tollhouse.policy.problems import suggestion

_FILE = "models.yaml"
_FIELDS = tuple(name for name in ModelFile.model_fields if name not in ("limits", "price"))


class Models:
    """`if_match` is the header of that name. All raise ManageError."""

    def __init__(self, reader: PolicyReader, editor: PolicyEditor) -> None:
        self._reader = reader
        self._editor = editor

    def create(self, actor: Actor, asked: ModelCreate) -> ModelView:
        """A new alias."""
        alias = asked.alias

        def edit(draft: Draft, policy: Policy) -> Change:
            require(actor, "model.write")
            if alias in policy.tree.models.model.models:
                message = f"there is a model '{alias}' already: PATCH changes it"
                raise ManageError("already_exists", message, param="alias")
            data = _changed({}, asked)
            _require_provider(policy, data)
            draft.set(_FILE, _path(alias), data)
            return Change("model.create", alias, after=data)

        return self._edited(actor, alias, edit)

    def get(self, actor: Actor, alias: str) -> ModelView:
        """One alias."""
        policy = self._reader.now()
        find_model(policy, actor, "model.read", alias)
        return model_view(policy, alias, _callers(policy, actor)[alias])

    def list(self, actor: Actor, query: ModelQuery) -> ModelList:
        """One page of all aliases, by name."""
        require(actor, "model.read")
        policy = self._reader.now()
        callers = _callers(policy, actor)
        models = policy.tree.models.model.models.items()
        found = [alias for alias, file in models if _takes(query, alias, file)]
        shown, more = page(found, lambda alias: (alias,), query.limit, query.after)
        return ModelList(
            data=[model_view(policy, alias, callers[alias]) for alias in shown], next=more
        )

    def patch(
        self, actor: Actor, alias: str, asked: ModelPatch, if_match: str | None = None
    ) -> ModelView:
        """Change what the request says."""

        def edit(draft: Draft, policy: Policy) -> Change:
            old = of_model(find_model(policy, actor, "model.write", alias))
            require_etag(if_match, etag(old), "the model")
            new = _changed(old, asked)
            _require_provider(policy, new)
            lay(draft, _FILE, _path(alias), old, new)
            return Change("model.change", alias, None, old, new)

        return self._edited(actor, alias, edit)

    def delete(self, actor: Actor, alias: str, if_match: str | None = None) -> Deleted:
        """Remove an alias that no list names."""

        def edit(draft: Draft, policy: Policy) -> Change:
            old = of_model(find_model(policy, actor, "model.write", alias))
            require_etag(if_match, etag(old), "the model")
            require_unused_model(policy, alias)
            draft.remove(_FILE, _path(alias))
            return Change("model.delete", alias, before=old)

        edited = self._editor.edit(actor, edit)
        return Deleted(id=alias, warnings=edited.warnings)

    def _edited(
        self, actor: Actor, alias: str, edit: Callable[[Draft, Policy], Change]
    ) -> ModelView:
        edited = self._editor.edit(actor, edit)
        callers = _callers(edited.policy, actor)
        return model_view(edited.policy, alias, callers[alias], edited.warnings)


def _path(alias: str) -> Path:
    return ("models", alias)


def _changed(old: Data, asked: ModelCreate | ModelPatch) -> Data:
    said, new = asked.asked, dict(old)
    new |= {name: said[name] for name in _FIELDS if name in said}
    new |= _one_or_several(asked)
    if "limits" in said:
        new["limits"] = merged_limits(old.get("limits", {}), asked.limits)
    if "price" in said:
        new["price"] = None if asked.price is None else patched(old.get("price"), asked.price)
    _require_behind(new)
    return full({name: new[name] for name in ModelFile.model_fields if name in new})


def _one_or_several(asked: ModelCreate | ModelPatch) -> Data:
    """What stands behind it goes, where the request says the other form of it."""
    if asked.deployments is not None:
        one = {} if asked.provider or asked.model else {"provider": None, "model": None}
        behind = [_deployment(at, each) for at, each in enumerate(asked.deployments)]
        return {**one, "deployments": behind}
    is_one = asked.provider is not None or asked.model is not None
    return {"deployments": None} if is_one else {}


def _deployment(at: int, asked: DeploymentOf) -> Data:
    place = ("deployments", at, "price")
    price = None if asked.price is None else patched(None, asked.price, place)
    return full({**asked.asked, "price": price})


def _require_behind(new: Data) -> None:
    is_unchecked = bool(UNCHECKED.intersection(new.get("endpoints") or ()))
    for name in ("provider",) if is_unchecked else ("provider", "model"):
        if new.get(name) is None and new.get("deployments") is None:
            message = f"'{name}' has no default: give a value, or leave it out"
            raise ManageError("invalid_request", message, param=name)


def _require_provider(policy: Policy, data: Data) -> None:
    providers = policy.tree.providers.model.providers
    named = [("deployments", each["provider"]) for each in data.get("deployments", ())]
    if "provider" in data:
        named.append(("provider", data["provider"]))
    for param, provider in named:
        if provider not in providers:
            message = f"there is no such provider{suggestion(provider, providers)}"
            raise ManageError("invalid_request", message, param=param)


def _callers(policy: Policy, actor: Actor) -> Counter[str]:
    """By alias, how many keys of those that the actor sees may call it."""
    sets = Counter(key.models for key in policy.snapshot.keys.values() if actor.sees(key.team))
    counts: Counter[str] = Counter()
    for models, number in sets.items():
        counts.update(dict.fromkeys(models, number))
    return counts


def _takes(query: ModelQuery, alias: str, file: ModelFile) -> bool:
    text = f"{alias}\n{file.model}\n{file.description or ''}".lower()
    return (
        query.provider in (None, *(each.provider for each in stated(file)))
        and (query.tag is None or query.tag in file.tags)
        and (query.q or "").lower() in text
    )
