"""The commands that explain a policy. What is imported late takes a moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from tollhouse.terminal import err, fail, out

if TYPE_CHECKING:
    from authz_service.explain.explanation import EmptyCall


Policies = Annotated[Path, typer.Option(help="The policy tree.")]
DemoKeys = Annotated[
    bool, typer.Option("--demo-keys", help="Take published demo keys, as `tollhouse up` does.")
]

_TROUBLE = 2


class TextOrJson(StrEnum):
    """How an answer is printed."""

    TEXT = "text"
    JSON = "json"


class TextJsonOrMarkdown(StrEnum):
    """How changes are printed."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class TestFormat(StrEnum):
    """How the outcome of tests is printed: github is for its workflows' logs."""

    __test__ = False  # for pytest: it is none

    TEXT = "text"
    GITHUB = "github"
    JSON = "json"


class ReportFormat(StrEnum):
    """How a replay is printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


def add_to(app: typer.Typer, empty_call: EmptyCall) -> None:
    """Add the commands. `empty_call` is what ratelimit_service reserves for a call without body,
    which this service does not know."""

    @app.command()
    def explain(  # noqa: PLR0913, PLR0917 - one option each
        key: Annotated[str, typer.Option(help="A key's id, as logs show it; never a key.")],
        model: Annotated[
            Optional[str],  # noqa: UP045 - typer reads it
            typer.Option(help="An alias. [default: a table of all]"),
        ] = None,
        path: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option(help="The path that is called. [default: the alias's own]"),
        ] = None,
        at: Annotated[
            Optional[str],  # noqa: UP045
            typer.Option(help="When, e.g. 2026-12-01T12:00:00Z. [default: now]"),
        ] = None,
        policies: Policies = Path("policies"),
        form: Annotated[TextOrJson, typer.Option("--format")] = TextOrJson.TEXT,
        demo_keys: DemoKeys = False,
    ) -> None:
        """Say why a key may or may not call a model: every rule, limit and price, by file and line.

        Exit status 0: allowed; 1: refused; 2: a mistake in the question or the policy.
        """
        from authz_service.explain.command import run_explain  # noqa: PLC0415
        from authz_service.inputs import loading  # noqa: PLC0415
        from tollhouse.policy.opened import open_policy  # noqa: PLC0415

        with _trouble():
            with loading(str(policies)):
                policy = open_policy(policies, allow_demo_keys=demo_keys)
            as_json = form is TextOrJson.JSON
            allowed = run_explain(
                policy, key, model, path, at, empty_call=empty_call, as_json=as_json, out=out
            )
        raise typer.Exit(0 if allowed else 1)

    app.command()(diff)
    app.command("test")(policy_test)
    app.command()(replay)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A policy tree, or REV:PATH of git.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another one.")],
    form: Annotated[TextJsonOrMarkdown, typer.Option("--format")] = TextJsonOrMarkdown.TEXT,
) -> None:
    """Say what changes for whom between two policies, in words; what widens apart from the rest.

    Exit status 0: nothing changes for anybody; 1: something does; 2: one could not be read.
    """
    from authz_service.diff.command import run_diff  # noqa: PLC0415

    with _trouble():
        changed = run_diff(old, new, form.value, out)
    raise typer.Exit(1 if changed else 0)


def policy_test(
    files: Annotated[
        Optional[list[Path]],  # noqa: UP045 - typer reads it
        typer.Argument(metavar="FILES", help="Test files. [default: tests/*.yaml of the tree]"),
    ] = None,
    policies: Policies = Path("policies"),
    form: Annotated[TestFormat, typer.Option("--format")] = TestFormat.TEXT,
    demo_keys: DemoKeys = False,
) -> None:
    """Run the tests of a policy: who may call what, and within what limits.

    Exit status 0: all pass; 1: some fail; 2: a mistake in a test or the policy.
    """
    from authz_service.inputs import loading  # noqa: PLC0415
    from authz_service.policy_tests.command import run_policy_tests  # noqa: PLC0415
    from tollhouse.policy.opened import open_policy  # noqa: PLC0415

    with _trouble():
        with loading(str(policies)):
            policy = open_policy(policies, allow_demo_keys=demo_keys)
        passed = run_policy_tests(policy, policies, files or [], form.value, out)
    raise typer.Exit(0 if passed else 1)


def replay(
    log: Annotated[
        list[str],
        typer.Option(
            "--log", help="An access log, plain or gzipped; a quoted pattern; repeatable."
        ),
    ],
    policies: Annotated[
        str, typer.Option(help="The proposed policy tree, or REV:PATH of git.")
    ] = "policies",
    against: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Compare with this tree's decisions, not with the logged ones."),
    ] = None,
    form: Annotated[ReportFormat, typer.Option("--format")] = ReportFormat.TEXT,
    demo_keys: DemoKeys = False,
) -> None:
    """Say what another policy would have decided on real traffic, from access logs.

    Each call is judged at its own time. Limits and budgets are not replayed.
    Exit status 0: nothing is newly denied; 1: something is; 2: a policy or log is no good.
    """
    from authz_service.replay.command import run_replay  # noqa: PLC0415

    with _trouble():
        passed = run_replay(log, policies, against, form.value, out, err, demo_keys=demo_keys)
    raise typer.Exit(0 if passed else 1)


@contextlib.contextmanager
def _trouble() -> Iterator[None]:
    """What may be expected to go wrong ends the command with a line and exit status 2."""
    from authz_service.inputs import BadPolicy, InputProblem  # noqa: PLC0415
    from tollhouse.access_log.logs import LogError  # noqa: PLC0415
    from tollhouse.policy.problems import PolicyError  # noqa: PLC0415

    try:
        yield
    except (BadPolicy, PolicyError) as error:
        err.print(str(error), markup=False)
        raise typer.Exit(_TROUBLE) from None
    except (InputProblem, LogError) as error:
        fail(str(error), _TROUBLE)
