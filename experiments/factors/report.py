"""What each factor earned, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from experiments.factors.nights import WHOLE
from experiments.factors.run import FactorsResult
from nba.jobs.experiment_spec import write_json

TABLE: Final = "table.md"
_WORLD: Final = ("preset", "family", "seed")


def earned(rows: pl.DataFrame) -> pl.DataFrame:
    """Return what a list with everything is worth over one without a factor, per world and factor.

    Parameters
    ----------
    rows : DataFrame
        preset, family, seed, night, off, amount.

    Returns
    -------
    DataFrame
        preset, family, seed, off, `share`: the difference, summed over nights, over the worth of
        the list with everything.
    """
    nights = rows.group_by(*_WORLD, "night", "off", maintain_order=True).agg(
        pl.col("amount").mean()
    )
    sums = nights.group_by(*_WORLD, "off", maintain_order=True).agg(pl.col("amount").sum())
    whole = sums.filter(pl.col("off") == WHOLE).select(*_WORLD, whole="amount")
    return (
        sums.filter(pl.col("off") != WHOLE)
        .join(whole, on=list(_WORLD))
        .select(*_WORLD, "off", share=(pl.col("whole") - pl.col("amount")) / pl.col("whole").abs())
    )


def write(result: FactorsResult, folder: Path) -> str:
    """Write `result.json` and `table.md` into `folder` and return the table."""
    write_json(result, folder)
    rows = earned(pl.DataFrame(result.rows))
    worlds = rows.select(*_WORLD).unique(maintain_order=True).rows()
    names = [" ".join(map(str, world)) for world in worlds]
    over = (
        f"What {result.weeks} weeks of lists with everything brought over as many without a "
        "factor, in % of it (true worth)"
        if result.weeks
        else "What a list with everything is worth over the same night's list without a factor, in "
        "% of it, one step ahead"
    )
    lines = [
        f"{over}; positive where the factor earns its place.",
        "",
        "| factor | mean | earns in | " + " | ".join(names) + " |",
        "|---|---|---|" + "---|" * len(names),
    ]
    for off in rows["off"].unique(maintain_order=True):
        own = rows.filter(pl.col("off") == off)
        share = own["share"] * 100.0
        wins = f"{int((share > 0).sum())} of {len(share)}"
        cells = " | ".join(f"{value:+.1f}" for value in share)
        lines.append(f"| {off} | {float(share.to_numpy().mean()):+.1f} | {wins} | {cells} |")
    text = "\n".join(lines) + "\n"
    (folder / TABLE).write_text(text, encoding="utf-8")
    return text
