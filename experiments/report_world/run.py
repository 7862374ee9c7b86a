"""`python -m experiments report_world`: the report's total against the truth, by seed."""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from experiments.report_world.play import make_project, play_quarter
from experiments.worlds.run import SCRATCH
from nba.evaluation.impact.report import build_report
from nba.jobs.impact.gather import gather
from nba.settings import ArmShares
from nba.simulation.config import Family, Preset, WorldConfig

#: So that the days with a list lie in one arm period.
START: Final = dt.date(2025, 1, 1)


def report_worlds(
    *,
    seeds: Sequence[int] = tuple(range(1, 21)),
    customers: int = 600,
    clerks: int = 5,
    history: int = 120,
    days: int = 91,
    holdout: float = 0.3,
    preset: str = "published",
    family: str = "capture",
) -> dict[str, Any]:
    """Compare the report's causal total with the truth in one world per seed.

    Parameters
    ----------
    seeds : sequence of int
    customers, clerks : int
        Size of each world.
    history, days : int
        Without and with a list.
    holdout : float
        Share of customers left alone.
    preset, family : str
        How contacts work.

    Returns
    -------
    dict
        `worlds`, a row per seed, and `covered`: in how many the interval holds the truth.
    """
    shares = ArmShares(holdout=holdout)
    rows = []
    for seed in seeds:
        config = WorldConfig(
            customers=customers,
            clerks=clerks,
            seed=seed,
            start=START,
            preset=Preset(preset),
            family=Family(family),
        )
        rows.append(_world(config, shares, history, days))
        print(rows[-1], flush=True)
    return {"worlds": rows, "covered": sum(row["covered"] for row in rows), "of": len(rows)}


def _world(config: WorldConfig, shares: ArmShares, history: int, days: int) -> dict[str, Any]:
    quarter = play_quarter(config, shares, history=history, days=days)
    scratch = Path(tempfile.mkdtemp(prefix="nba-report-", dir=SCRATCH))
    try:
        wiring = make_project(quarter, scratch / "shop", shares)
        inputs = gather(wiring, quarter.first, quarter.last)
        head = build_report(inputs, seed=config.seed).headline
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    planned = (
        inputs.log.sort("day")
        .unique("customer_id", keep="first", maintain_order=True)
        .filter(pl.col("arm") == head.arm)
    )
    truth = float(quarter.truth.join(planned, on="customer_id", how="semi")["gain"].sum())
    return {
        "seed": config.seed,
        "total": round(head.total),
        "lower": round(head.lower),
        "upper": round(head.upper),
        "truth": round(truth),
        "covered": bool(head.lower <= truth <= head.upper),
        "sample_ratio_p": round(head.ratio_p, 4),
    }
