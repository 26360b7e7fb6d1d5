"""Draws a result as SVG beside it. Runs in an environment of its own, for only it needs matplotlib.

bench/peers/.venv-plots/bin/python bench/plots.py bench/results/latest.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot

_COLOURS = {"bare": "#9aa5b1", "gateway": "#1f6f8b", "litellm": "#c8553d", "portkey": "#d9a441"}
_LATENCIES = (("p50_ms", "p50"), ("p99_ms", "p99"), ("p999_ms", "p99.9"))


def draw(path: Path) -> list[Path]:
    """The plots of a result of `make bench`, `make bench-growth` or `make bench-soak`."""
    mpl.use("svg")
    # The same figures give the same bytes, and text stays text.
    mpl.rcParams.update({"svg.hashsalt": "tollhouse", "svg.fonttype": "none", "font.size": 10})
    result = json.loads(path.read_text())
    drawn = []
    for name, scenario in result.get("scenarios", {}).items():
        drawn.append(_save(_bars(scenario), path, name))
    for name, sweep in result.get("sweeps", {}).items():
        drawn.append(_save(_curves(sweep), path, name))
    if "samples" in result:
        drawn.append(_save(_lines(result["samples"]), path, "memory"))
    return drawn


def _bars(scenario: dict[str, Any]) -> Any:
    """Requests/s, or what comes first of a stream, and latencies on a logarithmic axis."""
    cases = {name: case["summary"] for name, case in scenario["cases"].items()}
    rates = {n: c["requests_per_second"] for n, c in cases.items() if "requests_per_second" in c}
    figure, axes = pyplot.subplots(1, 2 if rates else 1, figsize=(10, 3.2), squeeze=False)
    if rates:
        _horizontal(axes[0][0], rates, "requests/s")
    _latencies(axes[0][-1], cases)
    figure.suptitle(scenario["title"])
    return figure


def _horizontal(axes: Any, spreads: dict[str, Any], label: str) -> None:
    names = list(spreads)[::-1]
    middles = [spreads[name]["median"] for name in names]
    errors = [
        [spreads[n]["median"] - spreads[n]["min"] for n in names],
        [spreads[n]["max"] - spreads[n]["median"] for n in names],
    ]
    colours = [_COLOURS.get(name, _COLOURS["gateway"]) for name in names]
    axes.barh(names, middles, xerr=errors, color=colours)
    axes.set_xlabel(label)


def _latencies(axes: Any, cases: dict[str, Any]) -> None:
    for name, summary in cases.items():
        shown = [(label, summary[key]["median"]) for key, label in _LATENCIES if key in summary]
        axes.plot(*zip(*shown, strict=True), "o-", label=name, color=_COLOURS.get(name))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_ylabel("ms")
    axes.legend(fontsize=8)


def _curves(sweep: dict[str, Any]) -> Any:
    """CPU by process, stacked, against what grows."""
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    labels = [str(point["at"]) for point in sweep["points"]]
    bottom = [0.0] * len(labels)
    for part in sweep["parts"]:
        heights = [point["summary"].get(part, {"median": 0})["median"] for point in sweep["points"]]
        axes.bar(labels, heights, bottom=bottom, label=part.removeprefix("cpu_us."))
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set(title=sweep["title"], xlabel=sweep["unit"], ylabel="CPU µs a request")
    axes.legend(fontsize=8)
    return figure


def _lines(samples: dict[str, list[list[float]]]) -> Any:
    """Resident memory against minutes."""
    figure, axes = pyplot.subplots(figsize=(8, 3.6))
    for part, points in samples.items():
        axes.plot(*zip(*points, strict=True), label=part)
    axes.set(xlabel="minutes", ylabel="MB resident", ylim=(0, None))
    axes.legend(fontsize=8)
    return figure


def _save(figure: Any, result: Path, name: str) -> Path:
    path = result.with_name(f"{result.stem}-{name}.svg")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return path


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
