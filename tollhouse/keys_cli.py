"""`tollhouse keys …`: internal keys from the command line. What is imported late takes a moment."""

from __future__ import annotations

import contextlib
import getpass
import json
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from tollhouse import keys as key_material
from tollhouse.terminal import err, fail, out

if TYPE_CHECKING:
    from tollhouse.keyring.actions import Done

keys = typer.Typer(help="Internal keys.", no_args_is_help=True)


Policies = Annotated[Path, typer.Option(help="The policy tree.", file_okay=False)]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="Its name in policy and logs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_POLICIES = Path("policies")
_IN_FORCE = "within 2 seconds where a gateway reads this directory"


class Format(StrEnum):
    """How a list is printed."""

    table = "table"
    json = "json"
    csv = "csv"


class State(StrEnum):
    """What a key can be."""

    active = "active"
    expiring = "expiring"
    expired = "expired"
    blocked = "blocked"


@keys.command("new")
def keys_new(  # noqa: PLR0913, PLR0917 - one option each
    key_id: KeyId,
    team: Annotated[Optional[str], typer.Option(help="Write it to this team's policy.")] = None,  # noqa: UP045
    project: Annotated[Optional[str], typer.Option(help="Its project there.")] = None,  # noqa: UP045
    env: Annotated[str, typer.Option(help="e.g. prod, staging.")] = "prod",
    expires: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(help="Its last day, YYYY-MM-DD; or a time; or how long, such as 30d."),
    ] = None,
    allowed_models: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Only these, by commas; fewer than its project's."),
    ] = None,
    owner: Annotated[Optional[str], typer.Option(help="Kept in its metadata.")] = None,  # noqa: UP045
    file: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Where several files hold keys of the project: this, e.g. keys/ci.yaml."),
    ] = None,
    policies: Policies = _POLICIES,
    as_json: AsJson = False,
) -> None:
    """Make a key, shown once on standard error; with --team and --project put it into the policy.

    Without them its policy stanza is printed on standard output.
    """
    from tollhouse.keyring import actions  # noqa: PLC0415
    from tollhouse.stanza import StanzaError, key_entry, key_stanza  # noqa: PLC0415

    if (team is None) != (project is None):
        fail("--team and --project go together: give both")
    models = [each.strip() for each in (allowed_models or "").split(",") if each.strip()]
    try:
        entry = key_entry(key_id, env, _moment(expires, future=True), models, owner)
    except StanzaError as error:
        fail(str(error))
    if team is not None and project is not None:
        with _edits():
            done = actions.new(policies, team, project, file, entry)
        _show_new(policies, done, as_json, f"the key {key_id} of {team}/{project} works")
        return
    key = key_material.generate()
    stanza = key_stanza(entry, key_material.sha256_hex(key))
    if as_json:
        _print_json({"id": key_id, "api_key": key, "stanza": stanza})
        return
    err.print(f"{key}", markup=False)
    err.print("This key is shown once. Give it to its owner; put these lines under keys: of a")
    err.print("project in policies/teams/ - only the hash is stored:")
    out.print(stanza, markup=False, end="")


@keys.command("rotate")
def keys_rotate(
    key_id: KeyId,
    overlap: Annotated[
        str, typer.Option(help="How long the old key stays valid: 12h, 7d; 0 ends it at once.")
    ] = "7d",
    policies: Policies = _POLICIES,
    as_json: AsJson = False,
) -> None:
    """Make a new key under the same id, shown once. Limits and budgets go on as they are."""
    from tollhouse.keyring import actions, moments  # noqa: PLC0415

    now = _now()
    with _edits():
        done = actions.rotate(policies, key_id, moments.duration(overlap), now)
    old = "the old key is refused"
    if done.previous_until is not None:
        old = f"the old key is valid until {moments.said(done.previous_until)}"
    _show_new(policies, done, as_json, f"the new key of {key_id} works, and {old}")
    _warn_unusable(done, now)


@keys.command("block")
def keys_block(
    key_id: KeyId,
    reason: Annotated[Optional[str], typer.Option(help="Kept in the policy, one line.")] = None,  # noqa: UP045
    policies: Policies = _POLICIES,
) -> None:
    """Refuse all calls of a key, earlier keys under its id included."""
    from tollhouse.keyring import actions  # noqa: PLC0415

    with _edits():
        done = actions.block(policies, key_id, reason)
    _tell(policies, done, f"{key_id} is blocked", f"{key_id} is blocked already")


@keys.command("unblock")
def keys_unblock(key_id: KeyId, policies: Policies = _POLICIES) -> None:
    """Take back a block of a key. A block of its team or project stays."""
    from tollhouse.keyring import actions  # noqa: PLC0415

    with _edits():
        done = actions.unblock(policies, key_id)
    _tell(policies, done, f"{key_id} is no longer blocked", f"{key_id} is not blocked itself")
    _warn_unusable(done, _now())


@keys.command("expire")
def keys_expire(
    key_id: KeyId,
    at: Annotated[
        str, typer.Option(help="Its last day, YYYY-MM-DD; or a time; or 30d; or now; or never.")
    ],
    policies: Policies = _POLICIES,
) -> None:
    """Give a key an end, another end, or none."""
    from tollhouse.keyring import actions, moments  # noqa: PLC0415

    when = None if at == "never" else _moment(at, future=False)
    with _edits():
        done = actions.expire(policies, key_id, when)
    ends = done.key.expires_at
    if ends is None:
        said = "never expires"
    else:
        past = ends <= _now().timestamp()
        said = f"{'has expired' if past else 'expires'} at {moments.said(ends)}"
    _tell(policies, done, f"{key_id} {said}", f"{key_id} {said}, as before")


@keys.command("list")
def keys_list(  # noqa: PLR0913, PLR0917 - one option each
    team: Annotated[Optional[str], typer.Option(help="Of this team.")] = None,  # noqa: UP045
    project: Annotated[Optional[str], typer.Option(help="Of this project.")] = None,  # noqa: UP045
    env: Annotated[Optional[str], typer.Option(help="Of this environment.")] = None,  # noqa: UP045
    state: Annotated[
        Optional[State],  # noqa: UP045
        typer.Option(help="In this state; expiring: within 14 days."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.table,
    policies: Policies = _POLICIES,
) -> None:
    """The keys of a policy: state, end, earlier keys that are still valid, file and line."""
    from tollhouse.keyring import listing  # noqa: PLC0415
    from tollhouse.policy import compiler, loader  # noqa: PLC0415

    with _edits():
        tree = loader.load(policies)
        snapshot = compiler.compile_tree(tree)
    wanted = listing.Wanted(team, project, env, state.value if state else None)
    rows = listing.rows(tree, snapshot, wanted, _now().timestamp())
    printed = {
        Format.table: listing.as_table,
        Format.json: listing.as_json,
        Format.csv: listing.as_csv,
    }
    out.print(printed[format_](rows), markup=False, end="")


@keys.command("identify")
def keys_identify(policies: Policies = _POLICIES, as_json: AsJson = False) -> None:
    """Say which key a string is, read from standard input. Exit status 1 when it is none here."""
    from tollhouse.keyring import identify  # noqa: PLC0415
    from tollhouse.policy.compiler import load_snapshot  # noqa: PLC0415

    # Never an argument: those are in the shell's history and in the list of processes.
    text = getpass.getpass("Key: ") if sys.stdin.isatty() else sys.stdin.read()
    if not text.strip():
        fail("no key on standard input")
    with _edits():
        snapshot = load_snapshot(policies)
    found = identify.identify(snapshot, text.strip(), _now().timestamp())
    if as_json:
        _print_json(identify.as_fields(found))
    else:
        out.print(found.said, markup=False)
    raise typer.Exit(0 if found.key else 1)


def _show_new(policies: Path, done: Done, as_json: bool, said: str) -> None:
    place = f"{policies}/{done.place.file}:{done.place.line}"
    if as_json:
        from tollhouse.keyring import listing  # noqa: PLC0415

        row = listing.row_of(done.place, done.key, _now().timestamp())
        _print_json({**listing.as_fields(row), "api_key": done.api_key})
        return
    err.print(f"{done.api_key}", markup=False)
    err.print("This key is shown once. Give it to its owner; only the hash is stored.")
    out.print(f"{place}: {said} {_IN_FORCE}", markup=False)


def _tell(policies: Path, done: Done, said: str, unchanged: str) -> None:
    place = f"{policies}/{done.place.file}:{done.place.line}"
    message = f"{said}, in force {_IN_FORCE}" if done.changed else f"{unchanged}: nothing to do"
    out.print(f"{place}: {message}", markup=False)


def _warn_unusable(done: Done, now: datetime) -> None:
    from tollhouse.keyring.listing import why_blocked  # noqa: PLC0415
    from tollhouse.policy.lifetimes import state_of  # noqa: PLC0415

    state = state_of(done.key, now.timestamp())
    if state == "blocked":
        err.print(f"note: {done.key.id} is blocked: {why_blocked(done.key)}", markup=False)
    elif state == "expired":
        hint = f"tollhouse keys expire {done.key.id} --at DATE"
        err.print(f"note: {done.key.id} has expired: {hint}", markup=False)


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(text: str | None, *, future: bool) -> date | None:
    from tollhouse.keyring import moments  # noqa: PLC0415

    if text is None:
        return None
    now = _now()
    try:
        when = moments.moment(text, now)
    except moments.MomentError as error:
        fail(str(error))
    day = when.date() if isinstance(when, datetime) else when
    if future and day.year >= 2000 and day < now.date():
        fail(f"'{text}' is past")
    return when


@contextlib.contextmanager
def _edits() -> Iterator[None]:
    from tollhouse.keyring.moments import MomentError  # noqa: PLC0415
    from tollhouse.policy.editing.errors import EditError  # noqa: PLC0415
    from tollhouse.policy.problems import PolicyError  # noqa: PLC0415

    try:
        yield
    except (EditError, MomentError, PolicyError) as error:
        fail(str(error))


def _print_json(value: Any) -> None:
    out.print(json.dumps(value, indent=2, ensure_ascii=False), markup=False)
