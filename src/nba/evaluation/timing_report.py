"""What a timing experiment leaves behind: a result file, a table, and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from nba.evaluation.pictures import empty_figure
from nba.evaluation.timing import HAZARD, TimingResult

RESULT_FILE = "result.json"
TABLE_FILE = "result.md"
PAGE_FILE = "README.md"


@dataclass(frozen=True)
class TimingRun:
    """What a timing experiment gave.

    Parameters
    ----------
    command : str
        What runs it again.
    parts : mapping of str to TimingResult
    bars : sequence of mapping
        What was asked of it, and whether it is reached.
    findings : mapping
        Further figures, by part.
    verdict : str
        Which model to use, in a sentence; it ends the page.
    """

    command: str
    parts: Mapping[str, TimingResult]
    bars: Sequence[Mapping[str, Any]] = ()
    findings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    verdict: str = ""


def write_run(run: TimingRun, folder: Path) -> str:
    """Write results, tables and plots into `folder`, and return the tables."""
    said: dict[str, Any] = {"command": run.command, "bars": run.bars, "findings": run.findings}
    write_results(folder, run.parts, **said)
    page = markdown(run.parts, **said)
    if not run.verdict:
        return page
    page = f"{page}\n{run.verdict}\n"
    (folder / PAGE_FILE).write_text(f"# When does each customer come back?\n\n{page}")
    return page


def write_results(
    folder: Path,
    results: Mapping[str, TimingResult],
    *,
    command: str,
    bars: Sequence[Mapping[str, Any]] = (),
    findings: Mapping[str, Any] | None = None,
    plots: bool = True,
) -> Path:
    """Write `result.json`, `result.md` and the plots into `folder`; return the result file.

    Parameters
    ----------
    folder : Path
        Made where it is not there.
    results : mapping of str to TimingResult
        By the name of the part of the experiment.
    command : str
        What printed the result.
    bars : sequence of mapping of str to object
        Each with `part`, `metric`, `condition`, `bar`, `value`, `reached`.
    findings : mapping of str to object, optional
        Further figures: part, figure, value.
    plots : bool
        Draw a picture per part; asks for matplotlib.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "command": command,
        "bars": list(bars),
        "findings": dict(findings or {}),
        "parts": {name: result.as_dict() for name, result in results.items()},
    }
    path = folder / RESULT_FILE
    path.write_text(json.dumps(_rounded(content), indent=1) + "\n")
    (folder / TABLE_FILE).write_text(
        markdown(results, command=command, bars=bars, findings=findings)
    )
    if plots:
        for name, result in results.items():
            plot(result, folder / f"{name}.png")
    return path


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value


def markdown(
    results: Mapping[str, TimingResult],
    *,
    command: str,
    bars: Sequence[Mapping[str, Any]] = (),
    findings: Mapping[str, Any] | None = None,
) -> str:
    """Return the tables of a result: metrics per model with intervals, findings, and the bars.

    Parameters
    ----------
    results : mapping of str to TimingResult
        By the name of the part of the experiment.
    command : str
        What printed the result.
    bars : sequence of mapping of str to object
        Each with `part`, `metric`, `condition`, `bar`, `value`, `reached`.
    findings : mapping of str to object, optional
        Further figures: part, figure, value.
    """
    lines = [f"Printed by `{command}`.", ""]
    for name, result in results.items():
        lines += [
            f"## {name}",
            "",
            f"{result.customers:,} customers, {result.events:,} bought again within "
            f"{result.protocol.horizon_days} days of {result.protocol.cutoff.date()}.",
            "",
            *_table(result),
            "",
            *[f"Note: {note}." for note in result.notes],
        ]
    if findings:
        lines += ["## Findings", "", "| part | figure | value |", "|---|---|---|"]
        for part, figures in findings.items():
            lines += [f"| {part} | {name} | {value:.4f} |" for name, value in figures.items()]
        lines.append("")
    if bars:
        lines += ["## Bars", "", "| part | metric | condition | bar | value | reached |"]
        lines.append("|---|---|---|---|---|---|")
        for bar in bars:
            reached = "yes" if bar["reached"] else "**no**"
            lines.append(
                f"| {bar['part']} | {bar['metric']} | {bar['condition']} | {bar['bar']} "
                f"| {bar['value']:.4f} | {reached} |"
            )
        lines.append("")
    return "\n".join(lines)


def _table(result: TimingResult) -> list[str]:
    models = list(result.metrics)
    metrics = list(result.metrics[HAZARD])
    heads = " | ".join(models)
    lines = [f"| metric | {heads} | 95 % interval of {HAZARD} | difference to bg_nbd |"]
    lines.append("|---" * (len(models) + 3) + "|")
    for metric in metrics:
        cells = [_number(result.metrics[model].get(metric)) for model in models]
        own = result.intervals.get(HAZARD, {}).get(metric)
        difference = result.differences.get(metric)
        between = f"{own.lower:.4f} to {own.upper:.4f}" if own else ""
        gain = (
            f"{difference.estimate:+.4f} ({difference.lower:+.4f} to {difference.upper:+.4f})"
            if difference
            else ""
        )
        lines.append(f"| {metric} | {' | '.join(cells)} | {between} | {gain} |")
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def plot(result: TimingResult, path: Path) -> None:
    """Draw survival by segment, calibration, weekly first purchases and lift, where it can be."""
    figure = empty_figure(11, 8)
    if figure is None:
        return
    axes = figure.subplots(2, 2)
    _draw_survival(axes[0][0], result.frames["survival"])
    _draw_calibration(axes[0][1], result.frames["calibration"])
    _draw_tracking(axes[1][0], result.frames["tracking"])
    _draw_lift(axes[1][1], result.frames["lift"])
    figure.suptitle(f"Timing at {result.protocol.cutoff.date()}, {result.customers:,} customers")
    figure.savefig(path, dpi=90)


def _draw_survival(axes: Any, frame: pl.DataFrame) -> None:
    for i, (name, part) in enumerate(frame.group_by("segment", maintain_order=True)):
        axes.plot(part["day"], part["predicted"], color=f"C{i}", label=str(name[0]))
        axes.plot(part["day"], part["observed"], color=f"C{i}", linestyle=":")
    axes.set(title="No purchase yet (dotted: observed)", xlabel="day", ylim=(0, 1))
    axes.legend(title="purchase days")


def _draw_calibration(axes: Any, frame: pl.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for name, part in frame.group_by("horizon", maintain_order=True):
        axes.plot(part["predicted"], part["observed"], marker=".", label=f"{name[0]} days")
    axes.set(title="Calibration, tenths of customers", xlabel="predicted", ylabel="observed")
    axes.legend()


def _draw_tracking(axes: Any, frame: pl.DataFrame) -> None:
    axes.plot(frame["week"], frame["predicted"], label="predicted")
    axes.plot(frame["week"], frame["observed"], linestyle=":", label="observed")
    axes.set(title="Customers who come back, per week", xlabel="week", ylim=(0, None))
    axes.legend()


def _draw_lift(axes: Any, frame: pl.DataFrame) -> None:
    for name, part in frame.group_by("horizon", maintain_order=True):
        axes.plot(part["share"], part["lift"], label=f"{name[0]} days")
    axes.set(title="Lift of the most likely", xlabel="share of customers", ylabel="lift")
    axes.legend()
