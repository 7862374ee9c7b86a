"""Reports of the affinity experiments: tables, plots and files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nba.evaluation.pictures import empty_figure

_SHOWN = (
    "recall@10",
    "ndcg@10",
    "recall@20",
    "hit_rate@10",
    "repeat_recall@10",
    "explore_recall@10",
    "explore_list_recall@10",
)


def short(metrics: Mapping[str, float]) -> str:
    """Return the leading metrics in one line."""
    return "  ".join(f"{name} {metrics[name]:.4f}" for name in _SHOWN if name in metrics)


def table(methods: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of methods and metrics, mean and spread or interval."""
    lines = [
        "| method | " + " | ".join(_SHOWN) + " |",
        "|---" * (len(_SHOWN) + 1) + "|",
    ]
    for name, metrics in methods.items():
        cells = [
            f"{value[0]:.4f} ± {value[1]:.4f}"
            if len(value) == 2
            else f"{value[0]:.4f} [{value[1]:.3f}, {value[2]:.3f}]"
            for value in (metrics[metric] for metric in _SHOWN)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def beyond(report: Mapping[str, Any]) -> str:
    """Return a Markdown table of what recall does not say, where the report has it."""
    true = report.get("true_share@10", {})
    taste = report.get("taste_correlation", {})
    columns = ["coverage@10", "novelty_bits@10", "price_fit@10"]
    columns += ["true share, whole", "true share, new"] * bool(true)
    columns += ["taste correlation"] * bool(taste)
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in [*report["methods"], *(["best"] if true else [])]:
        own = report["methods"].get(name, {})
        values = [own.get(column) for column in columns[:3]]
        if true:
            values += [true.get(name, {}).get(part) for part in ("whole", "explore")]
        if taste:
            values.append(taste.get(name))
        cells = ("–" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_report(result: Mapping[str, Any], folder: Path) -> None:
    """Write `result.json`, `table.md` and `plot.png` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(dict(result), indent=1) + "\n")
    parts = {
        **{name: protocol["test"] for name, protocol in result.get("protocols", {}).items()},
        **{name: protocol["methods"] for name, protocol in result.get("cutoffs", {}).items()},
    }
    pages = {name: f"### {name}\n\n{table(methods)}" for name, methods in parts.items()}
    for name, report in result.get("cutoffs", {}).items():
        pages[name] += "\n\n" + beyond(report)
    (folder / "table.md").write_text("\n\n".join(pages.values()) + "\n")
    _plot(parts, folder / "plot.png")


def _plot(parts: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    figure = empty_figure(5.5 * len(parts), 4)
    if figure is None:
        return
    axes = figure.subplots(1, len(parts), squeeze=False)[0]
    for axis, (title, methods) in zip(axes, parts.items(), strict=True):
        names = sorted(methods, key=lambda name: methods[name]["recall@10"][0])
        values = [methods[name]["recall@10"][0] for name in names]
        colours = ["#c44" if name == "two_stage" else "#88a" for name in names]
        axis.barh(names, values, color=colours)
        axis.set_title(f"{title}: recall@10")
    figure.savefig(path, dpi=110)
