"""What a closed loop gave, as figures, a page and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Self

import numpy as np
import polars as pl

from experiments.closed_loop.regret import FULL
from experiments.common.compare import BASELINE, summary, weekly_amounts
from nba.jobs.experiment_spec import as_text
from nba.schema.words import CONTACT_MODES

#: Policies that know more than an engine can.
ORACLES = ("observable_oracle", "oracle")


@dataclass(frozen=True)
class LoopWorld:
    """What one world gave.

    Parameters
    ----------
    rows : DataFrame
        A row per policy, see `compare_policies`.
    seconds : list of float
        The engine's nights.
    regrets, ablations : list of dict
        Of every seventh night, see `experiments.closed_loop.regret`.
    """

    rows: pl.DataFrame
    seconds: list[float]
    regrets: list[dict[str, float]]
    ablations: list[dict[str, float]]


@dataclass(frozen=True)
class LoopResult:
    """What a closed loop gave: per seed and policy, the summary, the engine's nights.

    `weekly` is incremental margin up to the end of each week, a column per policy. `regret` is
    the share of the best plan's true value, over every seventh night, that was lost by
    `prediction` and by `allocation`. `ablation` is what the list of these nights is truly worth,
    and what it loses when a factor is left out; see `experiments.closed_loop.regret`.
    """

    preset: str
    by_seed: pl.DataFrame
    summary: pl.DataFrame
    weekly: pl.DataFrame
    regret: dict[str, float]
    ablation: pl.DataFrame
    median_night_seconds: float
    slowest_night_seconds: float

    @classmethod
    def of(cls, preset: str, worlds: Sequence[LoopWorld]) -> Self:
        """Sum up all worlds."""
        rows = pl.concat([world.rows for world in worlds], how="diagonal_relaxed")
        seconds = [second for world in worlds for second in world.seconds]
        return cls(
            preset,
            rows,
            summary(rows),
            weekly_amounts(rows),
            split_regret([night for world in worlds for night in world.regrets]),
            ablation_table([night for world in worlds for night in world.ablations]),
            median(seconds),
            max(seconds),
        )


def ablation_table(nights: Sequence[dict[str, float]]) -> pl.DataFrame:
    """Return what a night's list is worth on the mean, and what each factor earns of it.

    Columns: factor (`all`: the whole list), amount (what the list loses without the factor; for
    `all` its worth), low and high (95 % interval over the nights), share of the list's worth.
    """
    columns = ["factor", "amount", "low", "high", "share"]
    if not nights:
        return pl.DataFrame(schema=dict.fromkeys(columns))
    rows = []
    whole = np.array([night[FULL] for night in nights])
    for factor in nights[0]:
        earned = whole - np.array([0.0 if factor == FULL else night[factor] for night in nights])
        middle, half = float(earned.mean()), 1.96 * float(earned.std()) / len(earned) ** 0.5
        rows.append((factor, middle, middle - half, middle + half, middle / float(whole.mean())))
    return pl.DataFrame(rows, schema=columns, orient="row")


def split_regret(nights: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the shares of the best plan's value lost by prediction and by allocation."""
    best = sum(night["best"] for night in nights)
    if best <= 0:
        return {"prediction": 0.0, "allocation": 0.0}
    predicted = sum(night["predicted"] for night in nights)
    drawn = sum(night["drawn"] for night in nights)
    return {"prediction": 1 - predicted / best, "allocation": (predicted - drawn) / best}


def write(result: LoopResult, folder: Path) -> str:
    """Write figures, tables and plot of a loop, and return the tables."""
    preset = result.preset
    (folder / f"{preset}.json").write_text(as_text(result) + "\n", encoding="utf-8")
    _plot(result, folder / f"{preset}.png")
    regret = ", ".join(f"{name} {share:.3f}" for name, share in result.regret.items())
    nights = f"{result.median_night_seconds:.1f} s, slowest {result.slowest_night_seconds:.1f} s"
    parts = [
        f"# Closed loop, preset `{preset}`",
        _policy_table(result.summary),
        "The engine's lead is its margin minus the policy's, customer by customer.",
        "## Incremental margin up to the end of each week, and the engine's share",
        _weekly_table(result.weekly),
        "## What each factor earns of a night's list, one step ahead",
        _ablation_lines(result.ablation),
        f"Regret, as a share of the best plan's true value: {regret}. Median night {nights}.",
    ]
    page = "\n\n".join(parts)
    (folder / f"{preset}.md").write_text(page + "\n", encoding="utf-8")
    return page


def _policy_table(table: pl.DataFrame) -> str:
    lines = [
        "| policy | incremental margin | 95 % | engine's lead | 95 % | share of oracle | contacts "
        "| minutes | blocks per 1,000 contacts | assistant / expert / partner |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    modes = [f"share_{mode}" for mode in CONTACT_MODES]
    for row in table.sort("incremental_amount", descending=True).iter_rows(named=True):
        shares = " / ".join(f"{row.get(mode) or 0.0:.2f}" for mode in modes)
        blocks = 1000 * row["blocks"] / max(row["contacts"], 1.0)
        lines.append(
            f"| {row['policy']} | {row['incremental_amount']:,.0f} | {row['low']:,.0f} … "
            f"{row['high']:,.0f} | {row['behind_amount']:,.0f} | {row['behind_low']:,.0f} … "
            f"{row['behind_high']:,.0f} | {row['share_of_oracle']:.3f} | {row['contacts']:,.0f} | "
            f"{row['minutes']:,.0f} | {blocks:.2f} | {shares} |"
        )
    return "\n".join(lines)


def _weekly_table(weekly: pl.DataFrame) -> str:
    shown = [name for name in ("engine", "random", *ORACLES) if name in weekly.columns]
    oracles = [name for name in ORACLES if name in weekly.columns]
    header = ["week", *shown, *(f"share of {name}" for name in oracles)]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in weekly.iter_rows(named=True):
        shares = [row["engine"] / row[name] if row[name] > 0 else float("nan") for name in oracles]
        cells = [
            str(row["week"]),
            *(f"{row[name]:,.0f}" for name in shown),
            *(f"{share:.3f}" for share in shares),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ablation_lines(table: pl.DataFrame) -> str:
    lines = ["| factor | amount per night | 95 % | share |", "|---|---|---|---|"]
    lines += [
        f"| {row['factor']} | {row['amount']:,.0f} | {row['low']:,.0f} … {row['high']:,.0f} | "
        f"{row['share']:.3f} |"
        for row in table.iter_rows(named=True)
    ]
    return "\n".join(lines)


def _plot(result: LoopResult, path: Path) -> None:
    from matplotlib.figure import Figure

    table = result.summary.filter(pl.col("policy") != BASELINE).sort("incremental_amount")
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    bars, curves = figure.subplots(1, 2)
    middle = table["incremental_amount"].to_numpy()
    span = [middle - table["low"].to_numpy(), table["high"].to_numpy() - middle]
    bars.barh(table["policy"].to_list(), middle, xerr=span, color="#4a7")
    bars.set_title(f"{result.preset}: incremental margin, with 95 % intervals", fontsize=10)
    bars.ticklabel_format(axis="x", style="plain")
    bars.tick_params(labelsize=8)
    for name in result.weekly.columns[1:]:
        if name != BASELINE:
            curves.plot(result.weekly["week"], result.weekly[name], label=name)
    curves.set_title("up to the end of each week", fontsize=10)
    curves.set_xlabel("week")
    curves.ticklabel_format(axis="y", style="plain")
    curves.tick_params(labelsize=8)
    curves.legend(fontsize=7)
    figure.savefig(path, dpi=110)
