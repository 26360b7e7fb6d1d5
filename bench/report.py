"""Results as text: a line while it runs, tables of a whole run, and the table of the README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.load import kept_rate

Summary = Mapping[str, Mapping[str, float]]

_LATENCIES = (("p50", "p50_ms"), ("p99", "p99_ms"), ("p99.9", "p999_ms"))
_COLUMNS = (
    "",
    "requests/s",
    "of base",
    "p50 ms",
    "p99 ms",
    "added p50",
    "added p99",
    "added p99.9",
)
_CPU = "cpu_us."
_MEMORY = (("first_mb", ".1f"), ("last_mb", ".1f"), ("mb_per_minute", "+.2f"))
NAMES = {
    "bare": "bare Envoy",
    "gateway": "Tollhouse",
    "litellm": "LiteLLM",
    "portkey": "Portkey",
}


def in_a_line(found: Mapping[str, float]) -> str:
    """One run's figures."""
    rate = f"{found['requests_per_second']:9,.0f}/s" if "requests_per_second" in found else ""
    latencies = "  ".join(f"{name} {found[key]:.2f}" for name, key in _LATENCIES if key in found)
    late = "" if kept_rate(found) else "  (the rate was not kept: the load was held back)"
    return f"{rate}  {latencies} ms  CPU {found['cpu_us.all']:,.0f} µs{late}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown, figures to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def markdown(result: Mapping[str, Any]) -> str:
    """Every scenario's tables."""
    machine = result["machine"]
    head = (
        f"# Results of {result['time']}\n\n`{result['command']}`, {machine['cpus']} CPUs shared by "
        f"all parts and the load. Medians over rounds; in brackets the least and the most.\n"
    )
    return "\n".join([head, *map(_scenario, result["scenarios"].values()), _memory(result)])


def _scenario(scenario: Mapping[str, Any]) -> str:
    cases = {name: case["summary"] for name, case in scenario["cases"].items()}
    rows = [_speed(name, summary) for name, summary in cases.items()]
    rows += [
        [name, f"failed: {_first_line(why)}"] + [""] * 6 for name, why in scenario["failed"].items()
    ]
    tables = [table(_COLUMNS, rows), _costs(cases)]
    return "\n\n".join([f"## {scenario['title']}", *filter(None, tables), ""])


def _speed(name: str, summary: Summary) -> list[str]:
    return [
        NAMES.get(name, name),
        _spread(summary, "requests_per_second", ",.0f"),
        _spread(summary, "to_base", ".3f"),
        _spread(summary, "p50_ms", ".2f"),
        _spread(summary, "p99_ms", ".2f"),
        *[_spread(summary, f"added_{key}", ".2f") for _, key in _LATENCIES],
    ]


def _costs(cases: Mapping[str, Summary]) -> str:
    """CPU by process, and Redis; a process that only some cases have stays empty for others."""
    names = dict.fromkeys(n for s in cases.values() for n in s if n.startswith((_CPU, "redis.")))
    header = ["CPU µs a request; Redis, each a request"]
    header += [name.removeprefix(_CPU).replace(".", " ").replace("_", " ") for name in names]
    rows = [
        [NAMES.get(case, case)] + [_middle(s, n, ",.1f") for n in names]
        for case, s in cases.items()
    ]
    return table(header, rows)


def _memory(result: Mapping[str, Any]) -> str:
    header = ["memory (RSS)", "first MB", "last MB", "MB a minute, second half"]
    rows = [
        [_name_of(target, part), *(f"{of[name]:{form}}" for name, form in _MEMORY)]
        for target, parts in result["memory"].items()
        for part, of in parts.items()
    ]
    settled = f"All {result['answered_requests']:,} answered requests are settled in the ledger."
    return f"## Memory\n\n{table(header, rows)}\n\n{settled}\n"


def _name_of(target: str, part: str) -> str:
    return f"{NAMES.get(target, target)}: {part}"


def readme(result: Mapping[str, Any]) -> str:
    """The few figures that a reader of the README wants."""
    names = [n for n in NAMES if n in result["scenarios"]["chat-32"]["cases"]]
    rows = [[what, *(_cell(result, name, *where) for name in names)] for what, where in _README]
    heading = table(["", *(NAMES[name] for name in names)], rows)
    machine = result["machine"]
    return (
        f"{heading}\n\n{result['time'][:10]}, {machine['cpus']} CPUs shared by all parts and the "
        f"load generator; Envoy {machine['envoy']}"
        + "".join(f", {NAMES[n]} {v}" for n, v in result["peers"].items())
        + "."
    )


_README: Sequence[tuple[str, tuple[str, str, str]]] = (
    ("requests/s, 32 connections", ("chat-32", "requests_per_second", ",.0f")),
    ("the same, of the bare Envoy's", ("chat-32", "to_base", ".1%")),
    ("p50 added, 1 connection, ms", ("chat-1", "added_p50_ms", ".2f")),
    ("p99 added at half of its own load, ms", ("half-load", "added_p99_ms", ".2f")),
    ("CPU of all its processes a request, µs", ("chat-32", "cpu_us.all", ",.0f")),
    ("chats of 100 KB, requests/s", ("body-100k", "requests_per_second", ",.0f")),
    ("chats of 5 MB, requests/s", ("body-5m", "requests_per_second", ",.1f")),
    ("first token added, 200 streams at once, p50 ms", ("streams", "added_p50_ms", ".2f")),
)


def _cell(result: Mapping[str, Any], name: str, scenario: str, figure: str, form: str) -> str:
    found = result["scenarios"].get(scenario, {"cases": {}, "failed": {}})
    if name in found["failed"]:
        return "failed"
    summary = found["cases"].get(name, {}).get("summary", {})
    added_to_itself = figure.startswith("added_") and name == found.get("base")
    return "" if added_to_itself else _middle(summary, figure, form)


def _middle(summary: Summary, figure: str, form: str) -> str:
    return f"{summary[figure]['median']:{form}}" if figure in summary else ""


def _spread(summary: Summary, figure: str, form: str) -> str:
    if figure not in summary:
        return ""
    middle, least, most = (f"{summary[figure][key]:{form}}" for key in ("median", "min", "max"))
    return middle if least == most else f"{middle} ({least} - {most})"


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
