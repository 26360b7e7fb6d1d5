"""`tollhouse policy …`: publish policies to Redis, for replicas that follow it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from tollhouse.terminal import err, fail, out

if TYPE_CHECKING:
    from tollhouse.bundles.commands import Outcome

policy = typer.Typer(
    help="Policy bundles: one signed policy for many replicas, through Redis.",
    no_args_is_help=True,
)


CONFLICT_STATUS = 3

RedisUrl = Annotated[
    str, typer.Option(envvar="REDIS_URL", help="redis://, rediss:// or unix:// of the bundles.")
]
SigningKeyFile = Annotated[
    Path,
    typer.Option(
        "--signing-key",
        envvar="TOLLHOUSE_SIGNING_KEY_FILE",
        help="The private key file that policy keygen wrote.",
    ),
]
By = Annotated[str, typer.Option("--by", help="Who publishes, for policy list: any text.")]
IfSerial = Annotated[
    Optional[int],  # noqa: UP045 - typer reads it
    typer.Option(
        min=0, help="Only if this bundle is in force (0: none); else exit status 3, nothing done."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_REDIS = "redis://127.0.0.1:6379/0"


@policy.command()
def keygen(
    out_dir: Annotated[Path, typer.Option("--out", help="Directory for both files.")],
) -> None:
    """Make the key that signs bundles, and the public key that every replica is given."""
    from tollhouse.bundles.signing import SigningKey  # noqa: PLC0415

    with _explained():
        key = SigningKey.new()
        private, public = key.write(out_dir)
    out.print(f"{private}  signs (tollhouse policy publish --signing-key): keep it secret")
    out.print(f"{public}  verifies (--policy-public-key of the services): key {key.public.id}")


@policy.command()
def publish(  # noqa: PLR0913, PLR0917 - one option each
    signing_key: SigningKeyFile,
    policies: Annotated[Path, typer.Option(help="The policy tree.")] = Path("policies"),
    redis_url: RedisUrl = _REDIS,
    by: By = "",
    if_serial: IfSerial = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be replaced; publish nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a policy tree, and put it in force at every replica.

    Exit status 1 when the tree is wrong or Redis is away; 3 when another bundle than --if-serial
    is in force. Nothing is published then.
    """
    from tollhouse.bundles import commands  # noqa: PLC0415

    with _explained():
        order = commands.Order(redis_url, signing_key, by, if_serial)
        done = commands.publish(order, policies, dry_run=dry_run)
    _print(done, as_json=as_json)


@policy.command()
def rollback(  # noqa: PLR0913, PLR0917 - one option each
    serial: Annotated[int, typer.Argument(help="A bundle of policy list.")],
    signing_key: SigningKeyFile,
    redis_url: RedisUrl = _REDIS,
    public_key: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(help="If another key signed that bundle: its public half; repeatable."),
    ] = None,
    by: By = "",
    if_serial: IfSerial = None,
    as_json: AsJson = False,
) -> None:
    """Publish an earlier bundle again, under a new serial."""
    from tollhouse.bundles import commands  # noqa: PLC0415

    with _explained():
        order = commands.Order(redis_url, signing_key, by, if_serial)
        done = commands.rollback(order, serial, public_key or [])
    _print(done, as_json=as_json)


@policy.command("list")
def list_bundles(redis_url: RedisUrl = _REDIS, as_json: AsJson = False) -> None:
    """List the last bundles: serial, version, when, by whom. Signatures are not looked at."""
    from tollhouse.bundles import commands  # noqa: PLC0415

    with _explained():
        listing = commands.listing(redis_url)
    if as_json:
        out.print(listing.as_json(), markup=False)
    else:
        for line in listing.lines():
            out.print(line, markup=False)


@policy.command()
def show(
    serial: Annotated[int, typer.Argument(help="A bundle of policy list.")],
    public_key: Annotated[list[Path], typer.Option(help="What verifies it; repeatable.")],
    redis_url: RedisUrl = _REDIS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the compiled policy as JSON.")
    ] = False,
) -> None:
    """Say what a bundle holds, its signature checked."""
    from tollhouse.bundles import commands  # noqa: PLC0415

    with _explained():
        bundle = commands.fetch(redis_url, serial, public_key)
    text = commands.policy_json(bundle) if as_json else commands.description(bundle)
    out.print(text, markup=False)


def _print(done: Outcome, *, as_json: bool) -> None:
    out.print(done.as_json() if as_json else done.sentence(), markup=False)


@contextmanager
def _explained() -> Iterator[None]:
    """What may be expected to go wrong ends the command with a line and its exit status."""
    from tollhouse.bundles.errors import BundleError, PublishConflict  # noqa: PLC0415
    from tollhouse.policy.problems import PolicyError  # noqa: PLC0415

    try:
        yield
    except PolicyError as error:
        for problem in error.problems:
            err.print(str(problem), markup=False)
        fail(f"{len(error.problems)} problem(s): nothing was published.")
    except PublishConflict as error:
        fail(str(error), CONFLICT_STATUS)
    except (BundleError, ValueError) as error:
        fail(str(error))
