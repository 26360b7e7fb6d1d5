"""`tollhouse render`. What is imported late takes a second."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from tollhouse.policy.problems import PolicyError
from tollhouse.terminal import fail, say

INCOMPLETE_TLS = "--tls-cert and --tls-key go together: give both"


class PolicyFrom(StrEnum):
    """Where a policy comes from."""

    DIRECTORY = "directory"
    REDIS = "redis"


def render(  # noqa: PLR0913, PLR0917 - one option each
    out_dir: Annotated[Path, typer.Option("--out", help="Directory that Envoy will run from.")],
    policies: Annotated[Path, typer.Option(help="The policy tree.", file_okay=False)] = Path(
        "policies"
    ),
    seen_as: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--seen-as", help="That directory's path where Envoy runs, if it is another."),
    ] = None,
    listen: Annotated[str, typer.Option(help="host:port of the endpoint.")] = "127.0.0.1:8080",
    admin: Annotated[str, typer.Option(help="host:port of Envoy's admin.")] = "127.0.0.1:9901",
    authz: Annotated[str, typer.Option(help="unix:/path, or host:port.")] = (
        "unix:/run/tollhouse/authz.sock"
    ),
    ratelimit: Annotated[str, typer.Option(help="unix:/path, or host:port.")] = (
        "unix:/run/tollhouse/ratelimit.sock"
    ),
    console: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="unix:/path, or host:port, of the console. [default: there is none]"),
    ] = None,
    access_log: Annotated[Path, typer.Option(help="The audit log.")] = Path("/dev/stdout"),
    tls_cert: Annotated[Optional[Path], typer.Option(help="Listener's chain, PEM.")] = None,  # noqa: UP045
    tls_key: Annotated[Optional[Path], typer.Option(help="Its private key.")] = None,  # noqa: UP045
    services_ca: Annotated[Optional[Path], typer.Option(help="CA of remote services.")] = None,  # noqa: UP045
    services_cert: Annotated[Optional[Path], typer.Option(help="Envoy's own, for them.")] = None,  # noqa: UP045
    services_key: Annotated[Optional[Path], typer.Option(help="Its private key.")] = None,  # noqa: UP045
    watch: Annotated[bool, typer.Option(help="Render again at every good edit.")] = False,
    policy_from: Annotated[
        PolicyFrom,
        typer.Option("--policy", help="From --policies, or the bundles of tollhouse policy."),
    ] = PolicyFrom.DIRECTORY,
    policy_redis_url: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Where the bundles are. [default: the environment's REDIS_URL]"),
    ] = None,
    policy_public_key: Annotated[
        Optional[list[Path]],  # noqa: UP045
        typer.Option(help="What verifies bundles; repeatable."),
    ] = None,
    policy_cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The last good bundle is kept here; a file a process."),
    ] = None,
    envoy_admin: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="host:port to ask whether Envoy took it; exit status 1 if not."),
    ] = None,
) -> None:
    """Write everything Envoy runs from: bootstrap, routes, clusters, secrets' places, Lua."""
    from tollhouse.rendering import (  # noqa: PLC0415 - takes a second to import
        Address,
        EnvoySettings,
        RenderError,
        ServicesTls,
        TlsFiles,
    )
    from tollhouse.rendering.command import (  # noqa: PLC0415
        Rendering,
        render_once,
        render_watching,
    )
    from tollhouse.serving.source import SourceError, SourceOptions, open_source  # noqa: PLC0415

    if (tls_cert is None) != (tls_key is None):
        fail(INCOMPLETE_TLS)
    if len({option is None for option in (services_ca, services_cert, services_key)}) > 1:
        fail("--services-ca, --services-cert and --services-key go together: give all three")
    source = SourceOptions(
        kind=policy_from,
        directory=policies,
        redis_url=policy_redis_url,
        public_keys=policy_public_key or [],
        cache=policy_cache,
    )
    try:
        settings = EnvoySettings(
            authz=Address.parse(authz),
            ratelimit=Address.parse(ratelimit),
            console=Address.parse(console) if console else None,
            access_log=access_log,
            listen=Address.parse(listen),
            admin=Address.parse(admin),
            tls=TlsFiles(tls_cert, tls_key) if tls_cert and tls_key else None,
            services_tls=ServicesTls(services_ca, TlsFiles(services_cert, services_key))
            if services_ca and services_cert and services_key
            else None,
        )
        run = render_watching if watch else render_once
        asked = f"http://{envoy_admin}" if envoy_admin else None
        found = open_source(source)
        taken = run(Rendering(found, settings, out_dir, seen_as or out_dir, asked), say)
    except (RenderError, PolicyError, SourceError, OSError) as error:
        fail(str(error))
    raise typer.Exit(0 if taken else 1)
