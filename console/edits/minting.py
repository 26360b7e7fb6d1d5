"""A new key in the policy, with its team and project where they are missing."""

from __future__ import annotations

import shlex
from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from console.actors import Actor
from console.edits import narrowing
from console.edits.bounds import above_key
from console.edits.data import Data, full
from console.edits.editor import Change
from console.edits.ends import future_end
from console.edits.key_changes import require_env, require_within
from console.edits.making import require_project, require_team
from console.edits.metadata import meant
from console.edits.policy import Policy
from console.edits.team_files import create_team
from console.permissions import require
from console.problems import ManageError
from console.shapes.base import KeyId
from console.shapes.keys import KeyCreate
from tollhouse.keyring.places import home_of, homes_of
from tollhouse.policy.documents import Path
from tollhouse.policy.editing import written
from tollhouse.policy.editing.draft import Draft
from tollhouse.policy.editing.errors import EditError

_ID: TypeAdapter[str] = TypeAdapter(KeyId)


def mint(  # noqa: PLR0913, PLR0917 - the draft, who, and what was asked
    draft: Draft, policy: Policy, actor: Actor, asked: KeyCreate, sha256: str, now: datetime
) -> Change:
    """Raises ManageError."""
    team, project = asked.team, asked.project
    require(actor, "key.write", team)
    made = require_team(policy, actor, team) + require_project(policy, actor, team, project)
    key = _key(policy, asked, sha256, now)
    require_within(policy, actor, team, project, key, list(key))
    _place(draft, policy, team, project, key)
    return Change(
        "key.create",
        key["id"],
        team,
        after=key,
        command=_command(team, project, key),
        remainder=_remainder(key),
        warnings=made + _warnings(policy, team, project, key),
    )


def _key(policy: Policy, asked: KeyCreate, sha256: str, now: datetime) -> Data:
    """In the order in which people read them."""
    said = meant(asked)
    env = said.asked.get("env")
    require_env(policy, env)
    zone = policy.snapshot.org.time_zone
    return full(
        {
            "id": _id(policy, asked, env, sha256),
            "sha256": sha256,
            "env": env,
            "expires": None if asked.expires is None else future_end(asked.expires, now, zone),
            "allowed_models": asked.allowed_models,
            "denied_models": asked.denied_models,
            "limits": full(said.asked.get("limits", {})),
            "model_limits": full(
                {alias: full(each.asked) for alias, each in asked.model_limits.items() if each}
            ),
            "metadata": full(said.metadata or {}),
        }
    )


def _id(policy: Policy, asked: KeyCreate, env: str | None, sha256: str) -> str:
    if asked.id is not None:
        if asked.id in policy.keys:
            message = "there is a key of this id already: choose another, or rotate that one"
            raise ManageError("already_exists", message, param="id")
        return asked.id
    stem = "-".join(part for part in (asked.team, asked.project, env) if part)
    # No number: that of a key which was deleted would be free, and the ledger still counts what
    # that key spent under its id.
    try:
        return _ID.validate_python(f"{stem}-{sha256[:6]}")
    except ValidationError:
        message = "no id can be made of these names: give one as 'id'"
        raise ManageError("invalid_request", message, param="id") from None


def _place(draft: Draft, policy: Policy, team: str, project: str, key: Data) -> None:
    source = policy.teams.get(team)
    if source is None:
        create_team(draft, {"team": team, "projects": {project: {"keys": [key]}}})
    elif project not in source.model.projects:
        draft.set(source.document.file, ("projects", project), {"keys": [key]})
    else:
        file, path = _home(policy, team, project)
        draft.append(file, path, key)


def _home(policy: Policy, team: str, project: str) -> tuple[str, Path]:
    try:
        return home_of(policy.tree, team, project, None)
    except EditError:  # in several files under keys/: the team's own is nobody else's
        own, (path, _) = next(iter(homes_of(policy.tree, team, project).items()))
        return own, path


def _warnings(policy: Policy, team: str, project: str, key: Data) -> tuple[str, ...]:
    if narrowing.grants(above_key(policy, team, project, key.get("env"))):
        return ()
    if "allowed_models" in key:
        return (
            "no level above this key says which models are allowed: its own list grants them, and"
            " other keys of the project have none of it",
        )
    return ("this key may call no model yet: neither it nor a level above says which are allowed",)


def _command(team: str, project: str, key: Data) -> str:
    """As far as the command goes."""
    words = ["tollhouse", "keys", "new", key["id"], "--team", team, "--project", project]
    words += ["--env", key["env"]] if "env" in key else []
    words += ["--expires", written.flow(key["expires"])] if "expires" in key else []
    if key.get("allowed_models"):
        words += ["--allowed-models", ",".join(key["allowed_models"])]
    if "owner" in key.get("metadata", {}):
        words += ["--owner", str(key["metadata"]["owner"])]
    return shlex.join(words)


def _remainder(key: Data) -> str:
    """What the command has no words for, as lines of the key."""
    said = (
        "id",
        "sha256",
        "env",
        "expires",
        *(("allowed_models",) if key.get("allowed_models") else ()),
    )
    rest = {name: value for name, value in key.items() if name not in said}
    metadata = {name: value for name, value in rest.pop("metadata", {}).items() if name != "owner"}
    rest |= {"metadata": metadata} if metadata else {}
    return "\n".join(written.block(rest)) if rest else ""
