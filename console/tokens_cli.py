"""`tollhouse tokens …`: who may manage. What is imported late takes a moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from tollhouse.terminal import err, fail, out

if TYPE_CHECKING:
    from console.edits.tokens import Tokens

tokens = typer.Typer(help="Management tokens of a policy.", no_args_is_help=True)

Policies = Annotated[Path, typer.Option(help="The policy tree.")]
TokenId = Annotated[str, typer.Argument(metavar="ID", help="Its name in the audit log.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_POLICIES = Path("policies")
_FILE = "management.yaml"
_NEW_FILE = """\
# Who may manage this policy over the API and the console at /manage.
tokens: []
"""


class RoleName(StrEnum):
    """What a token may: docs/management.md."""

    admin = "admin"
    platform = "platform"
    team_lead = "team-lead"
    viewer = "viewer"
    auditor = "auditor"


@tokens.command("new")
def tokens_new(  # noqa: PLR0913, PLR0917 - one option each
    token_id: TokenId,
    role: Annotated[RoleName, typer.Option(help="What it may.")],
    teams: Annotated[Optional[str], typer.Option(help="Only for these, by commas.")] = None,  # noqa: UP045
    expires: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Its last day, YYYY-MM-DD; or a time; or how long, such as 90d."),
    ] = None,
    policies: Policies = _POLICIES,
    as_json: AsJson = False,
) -> None:
    """Make a management token, shown once on standard error; its hash goes into management.yaml."""
    from console.shapes.reading import read_fields  # noqa: PLC0415
    from console.shapes.tokens import TokenCreate  # noqa: PLC0415

    asked: dict[str, Any] = {"id": token_id, "role": role.value, "expires": expires}
    if teams is not None:
        asked["teams"] = [each.strip() for each in teams.split(",") if each.strip()]
    with _editing(policies, may_create=True) as use_cases:
        made = use_cases.create(_actor(), read_fields(TokenCreate, asked))
    if as_json:
        out.print(json.dumps(made.model_dump(mode="json"), indent=2), markup=False)
        return
    err.print(made.token, markup=False)
    err.print("This token is shown once. Give it to its owner; only the hash is stored.")
    said = f"the token {token_id} is {role.value}, within 2 seconds where a gateway reads this"
    out.print(f"{policies}/{made.where}: {said}", markup=False)


@tokens.command("list")
def tokens_list(policies: Policies = _POLICIES, as_json: AsJson = False) -> None:
    """The tokens of a policy: role, teams, end."""
    with _editing(policies) as use_cases:
        found = use_cases.list(_actor())
    if as_json:
        out.print(json.dumps(found.model_dump(mode="json")["data"], indent=2), markup=False)
        return
    for each in found.data:
        scope = "all teams" if each.teams is None else ", ".join(each.teams)
        end = f"until {each.expires}" if each.expires else "never expires"
        state = " (expired)" if each.is_expired else ""
        out.print(f"{each.id}: {each.role}, {scope}, {end}{state}", markup=False)


@tokens.command("delete")
def tokens_delete(token_id: TokenId, policies: Policies = _POLICIES) -> None:
    """End a token: it is refused within 2 seconds."""
    with _editing(policies) as use_cases:
        use_cases.delete(_actor(), token_id)
    out.print(f"{token_id} is deleted", markup=False)


def _actor() -> Any:
    from console.actors import Actor  # noqa: PLC0415

    # Whoever can write the files may do all that they say.
    return Actor("command line", "admin", None, "cli")


@contextmanager
def _editing(policies: Path, *, may_create: bool = False) -> Iterator[Tokens]:
    from console.edits.editor import PolicyEditor  # noqa: PLC0415
    from console.edits.reader import PolicyReader  # noqa: PLC0415
    from console.edits.tokens import Tokens  # noqa: PLC0415
    from console.problems import ManageError  # noqa: PLC0415
    from tollhouse.policy.editing.errors import EditError  # noqa: PLC0415

    try:
        if may_create:
            _make_file(policies)
        yield Tokens(PolicyReader(policies), PolicyEditor(policies), lambda: datetime.now(UTC))
    except (EditError, ManageError) as error:
        fail(str(error))


def _make_file(policies: Path) -> None:
    from tollhouse.policy.editing.draft import open_draft  # noqa: PLC0415

    if not (policies / _FILE).exists():
        with open_draft(policies) as draft:
            draft.create(_FILE, _NEW_FILE)
            draft.commit()
