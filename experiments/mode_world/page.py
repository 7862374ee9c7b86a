"""The page and the picture of the mode experiment in the world, from its result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from experiments.common.pages import write_page

#: The picture beside the page.
CURVE: Final = "curve.png"


def write(result: Mapping[str, Any], folder: Path) -> str:
    """Write `result.json`, the page and the curve; return the page."""
    draw_curve(result, folder / CURVE)
    return write_page(result, world_page(result), folder)


def world_page(result: Mapping[str, Any]) -> str:
    """Return the page of `mode_world`."""
    frame = pl.DataFrame(result["rows"], infer_schema_length=None)
    final = frame.filter(pl.col("weeks") == frame["weeks"].max())
    metrics = ("rank_correlation", "share_of_oracle", "share_of_best_mode", "share_of_random_mode")
    lines = [
        "# The world: what is learned about modes, against the truth",
        "",
        f"**Question.** {result['question']}",
        "",
        f"**Protocol.** {result['protocol']}. Seeds {result['seeds']}.",
        "",
        "**Command.** `python -m experiments mode_world`",
        "",
        "At the end, mean over seeds (worst seed). The bound should lie below the truth for 90 %, "
        "of customers one by one and of twenty groups of customers alike in their prediction.",
        "",
        "| preset | model | rank correlation | share of the oracle | best mode, if one must be "
        "chosen | at random | bias | bound holds, customers | groups |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (preset, model), rows in final.group_by("preset", "model", maintain_order=True):
        cells = [
            f"{np.mean(rows[metric].to_numpy()):.3f} ({np.min(rows[metric].to_numpy()):.3f})"
            for metric in metrics
        ]
        bias = f"{np.mean(rows['bias_amount'].to_numpy()):+.1f}"
        true = f"{np.mean(rows['true_amount'].to_numpy()):.1f}"
        held = [_mean(rows[f"coverage_{of}"]) for of in ("of_lower_bound", "in_groups")]
        lines.append(
            f"| {preset} | {model} | {' | '.join(cells)} | {bias} of {true} | {' | '.join(held)} |"
        )
    lines += [
        "",
        f"Over the weeks of contacts that are known (0: the prior alone), see `{CURVE}`:",
        "",
        "| preset | weeks | share of the oracle, by seed | rank correlation | bias |",
        "|---|---|---|---|---|",
    ]
    curve = frame.filter(pl.col("model") == "learned")
    for (preset, weeks), rows in curve.group_by("preset", "weeks", maintain_order=True):
        shares = rows["share_of_oracle"].to_list()
        each = ", ".join(f"{share:.2f}" for share in shares)
        rank, bias = (_mean(rows[m], 3) for m in ("rank_correlation", "bias_amount"))
        lines.append(f"| {preset} | {weeks} | {np.mean(shares):.3f} ({each}) | {rank} | {bias} |")
    return "\n".join(lines) + "\n"


def _mean(values: pl.Series, digits: int = 2) -> str:
    known = values.drop_nulls()
    return f"{float(np.mean(known.to_numpy())):.{digits}f}" if len(known) else "–"


def draw_curve(result: Mapping[str, Any], path: Path) -> None:
    """Draw the share of the oracle's value over the weeks that are known, by preset."""
    from matplotlib.figure import Figure

    frame = pl.DataFrame(result["rows"], infer_schema_length=None)
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    learned = frame.filter(pl.col("model") == "learned")
    for place, preset in zip(axes, ("published", "conservative"), strict=True):
        mine = learned.filter(pl.col("preset") == preset)
        for (seed,), rows in mine.group_by("seed", maintain_order=True):
            place.plot(rows["weeks"], rows["share_of_oracle"], marker="o", label=f"seed {seed}")
        random = frame.filter(pl.col("preset") == preset)["share_of_random_mode"].mean()
        place.axhline(random, color="grey", linestyle=":", label="a mode at random")
        place.set(title=preset, xlabel="weeks of contacts known", ylim=(0, 1))
    axes[0].set_ylabel("share of the oracle's value")
    axes[1].legend(frameon=False)
    figure.savefig(path, dpi=110)
