"""Asks the parts of a gateway, all at once: the services' side doors, Envoy's admin, the disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tollhouse.fetch import Unreachable, get_json
from tollhouse.policy.problems import PolicyError
from tollhouse.policy.source import PolicyDirectory
from tollhouse.rendering.acceptance import EnvoyAdmin
from tollhouse.status.report import Part, Report


class NothingToAsk(Exception):
    """No part is known; the message says how to name one."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts are: URLs of side doors and of Envoy's admin, the policy tree."""

    authz: tuple[str, ...] = ()
    ratelimit: tuple[str, ...] = ()
    envoy: tuple[str, ...] = ()
    policies: Path | None = None


def places_of(run_dir: Path) -> Places:
    """Those of the `tollhouse up` that runs there. Raises NothingToAsk."""
    try:
        up = json.loads((run_dir / "up.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise NothingToAsk(
            f"no gateway runs in {run_dir}: name its --run-dir, or its parts (--authz URL, "
            "--ratelimit URL, --envoy URL, --policies DIR)."
        ) from None
    doors = up["metrics"]
    return Places(
        authz=(doors["authz_service"],),
        ratelimit=(doors["ratelimit_service"],),
        envoy=(up["admin_endpoint"],),
        policies=Path(up["policies"]),
    )


def ask(places: Places) -> Report:
    """What every part says now."""
    asked: list[Callable[[], Part]] = []
    if places.policies:
        asked.append(partial(_disk, places.policies))
    asked += [partial(_service, "authz", _door(url)) for url in places.authz]
    asked += [partial(_service, "ratelimit", _door(url)) for url in places.ratelimit]
    asked += [partial(_envoy, _door(url)) for url in places.envoy]
    with ThreadPoolExecutor(max_workers=16) as threads:
        return Report(tuple(threads.map(lambda question: question(), asked)))


def _door(url: str) -> str:
    """`http://host:port`, also from `host:port` and from the URL of its metrics."""
    full = url if "://" in url else f"http://{url}"
    return full.rstrip("/").removesuffix("/metrics")


def _disk(policies: Path) -> Part:
    part = Part("disk", str(policies))
    try:
        return replace(part, version=PolicyDirectory(policies).load().version)
    except PolicyError as error:
        return replace(part, ready=False, problem=str(error.problems[0]))


def _service(kind: str, url: str) -> Part:
    part = Part(kind, url)
    try:
        policy, readiness = get_json(f"{url}/policy"), get_json(f"{url}/readyz")
        reasons = [f"{name}: {reason}" for name, reason in readiness["problems"].items()]
        return replace(
            part,
            version=policy["version"],
            since=policy["loaded_at"],
            ready=bool(readiness["ready"]),
            stale=bool(policy["stale"]),
            problem=next(iter([*reasons, *policy["problems"]]), None),
        )
    except Unreachable as error:
        return replace(part, ready=False, problem=str(error))
    except (AttributeError, KeyError, TypeError):
        return replace(part, ready=False, problem="not the side door of a service")


def _envoy(url: str) -> Part:
    part, admin = Part("envoy", url), EnvoyAdmin(url)
    try:
        state, ready = admin.state(), admin.is_ready()
    except Unreachable as error:
        return replace(part, ready=False, problem=str(error))
    told = replace(part, version=state.version or None, ready=ready, refusals=state.refusals)
    return told if ready else replace(told, problem="it is not live")
