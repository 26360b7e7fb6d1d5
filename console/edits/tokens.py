"""Management tokens: made, listed and deleted, by admins."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime

from console.actors import Actor
from console.edits.data import Data, etag, full, of_token
from console.edits.editor import Change, PolicyEditor
from console.edits.ends import future_end
from console.edits.etags import require as require_etag
from console.edits.policy import Policy
from console.edits.reader import PolicyReader
from console.edits.views import token_view
from console.permissions import require
from console.problems import ManageError
from console.shapes.base import Deleted
from console.shapes.tokens import TokenCreate, TokenCreated, TokenList
from tollhouse import keys as key_material
from tollhouse.policy.editing import written
from tollhouse.policy.editing.draft import Draft
from tollhouse.policy.problems import suggestion

_WHOLE_ORG = ("admin", "auditor")


class Tokens:
    """`if_match` is the header of that name. All raise ManageError."""

    def __init__(
        self, reader: PolicyReader, editor: PolicyEditor, clock: Callable[[], datetime]
    ) -> None:
        self._reader = reader
        self._editor = editor
        self._clock = clock

    def create(self, actor: Actor, asked: TokenCreate) -> TokenCreated:
        """A new token, shown once."""
        now, token = self._clock(), key_material.generate(key_material.MANAGEMENT_PREFIX)

        def edit(draft: Draft, policy: Policy) -> Change:
            require(actor, "token.write")
            if asked.id in policy.tokens:
                message = "there is a token of this id already: choose another, or delete that one"
                raise ManageError("already_exists", message, param="id")
            _require_scope(policy, asked)
            data = _written(policy, asked, key_material.sha256_hex(token), now)
            draft.append(policy.management_document.file, ("tokens",), data)
            return Change("token.create", asked.id, after=data, command=_command(data))

        edited = self._editor.edit(actor, edit)
        view = token_view(edited.policy, asked.id, now.timestamp(), edited.warnings)
        return TokenCreated(**dict(view), token=token)

    def list(self, actor: Actor) -> TokenList:
        """All tokens, by id."""
        require(actor, "token.read")
        policy, now = self._reader.now(), self._clock().timestamp()
        return TokenList(data=[token_view(policy, each, now) for each in sorted(policy.tokens)])

    def delete(self, actor: Actor, token_id: str, if_match: str | None = None) -> Deleted:
        """End a token. Nobody ends the one that they are using: an admin is left."""

        def edit(draft: Draft, policy: Policy) -> Change:
            require(actor, "token.write")
            if token_id not in policy.tokens:
                near = suggestion(token_id, policy.tokens).partition(";")[0]
                raise ManageError("not_found", f"there is no such token{near}")
            if actor.via == "token" and actor.id == token_id:
                message = "this is the token that you are using: another admin has to delete it"
                raise ManageError("role_not_allowed", message)
            index, file = policy.tokens[token_id]
            old = of_token(file)
            require_etag(if_match, etag(old), "the token")
            draft.remove(policy.management_document.file, ("tokens", index))
            return Change("token.delete", token_id, before=old)

        edited = self._editor.edit(actor, edit)
        return Deleted(id=token_id, warnings=edited.warnings)


def _written(policy: Policy, asked: TokenCreate, sha256: str, now: datetime) -> Data:
    zone = policy.snapshot.org.time_zone
    return full(
        {
            "id": asked.id,
            "sha256": sha256,
            "role": asked.role,
            "teams": asked.teams,
            "expires": None if asked.expires is None else future_end(asked.expires, now, zone),
        }
    )


def _require_scope(policy: Policy, asked: TokenCreate) -> None:
    wrong = None
    if asked.role == "team-lead" and asked.teams is None:
        wrong = "a team-lead needs 'teams': the ones that they lead"
    elif asked.role in _WHOLE_ORG and asked.teams is not None:
        wrong = f"'{asked.role}' is for the whole org: leave 'teams' out, or choose another role"
    for team in asked.teams or ():
        if team not in policy.teams:
            wrong = f"there is no such team{suggestion(team, policy.teams)}"
    if wrong is not None:
        raise ManageError("invalid_request", wrong, param="teams")


def _command(data: Data) -> str:
    words = ["tollhouse", "tokens", "new", data["id"], "--role", data["role"]]
    words += ["--teams", ",".join(data["teams"])] if "teams" in data else []
    words += ["--expires", written.flow(data["expires"])] if "expires" in data else []
    return shlex.join(words)
