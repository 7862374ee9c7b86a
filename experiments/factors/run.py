"""`python -m experiments factors`: what each factor earns, one step ahead or over weeks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from experiments.common.compare import append_rows, prepare, world_configs
from experiments.factors.nights import factor_plans
from experiments.worlds.engine import EnginePolicy
from experiments.worlds.run import SCRATCH, print_line
from nba.simulation.config import WorldConfig


@dataclass(frozen=True)
class FactorsResult:
    """A row per world, night and factor that was off: preset, family, seed, night, off, amount."""

    rows: list[dict[str, Any]]


def play_factors(
    *,
    presets: Sequence[str] = ("published", "conservative"),
    families: Sequence[str] = ("extra_orders", "capture", "attention", "seasonal_gift"),
    seeds: Sequence[int] = (21,),
    nights: Sequence[int] = (0, 21),
    customers: int = 2000,
    clerks: int = 12,
    days: int = 365,
    assortment: str = "fashion",
    log: str = "",
) -> FactorsResult:
    """Plan nights of the engine as it ships, and again with one factor after another off.

    Each list is worth the sum of the true effects of its contacts at the moment they are listed:
    one step ahead, on the very same tables and models. Between the nights the engine plays.

    Parameters
    ----------
    presets, families : sequence of str
        Which contacts fit whom, and how effects arise.
    seeds : sequence of int
        One world each, for every preset and family.
    nights : sequence of int
        Nights after the history on which factors are switched off, 0 the first.
    customers, clerks : int
        Size of each world.
    days : int
        Of history.
    assortment : str
        `fashion` or `everyday`.
    log : str
        A file that each world's rows are appended to as they come, one JSON per line.
    """
    rows: list[dict[str, Any]] = []
    worlds = world_configs(
        presets,
        families,
        seeds,
        customers=customers,
        clerks=clerks,
        days=days,
        assortment=assortment,
    )
    for config in worlds:
        about = {"preset": str(config.preset), "family": str(config.family), "seed": config.seed}
        new = [about | row for row in _world(config, nights)]
        rows += new
        append_rows(log, new)
        print_line(" ".join(map(str, about.values())) + ": " + _line(new))
    return FactorsResult(rows)


def _world(config: WorldConfig, nights: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Play a world up to the last night asked for; yield a row per night and factor."""
    world, observed = prepare(config)
    scratch = Path(tempfile.mkdtemp(prefix="nba-factors-", dir=SCRATCH))
    try:
        engine = EnginePolicy(scratch / "project")
        for night in range(max(nights) + 1):
            day = world.date
            plan = engine.plan(day, observed)
            if night in nights:
                context = engine.wiring.run(datetime(day.year, day.month, day.day))
                for off, actions in factor_plans(context):
                    truth = world.true_effect_of(actions)
                    amount = float(truth["effect_amount"].sum()) if truth.height else 0.0
                    yield {"night": night, "off": off, "amount": amount, "contacts": truth.height}
            observed.add(world.step(world.day, plan).tables)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _line(rows: Sequence[dict[str, Any]]) -> str:
    totals = pl.DataFrame(rows).group_by("off", maintain_order=True).agg(pl.col("amount").sum())
    return ", ".join(f"{name} {amount:,.0f}" for name, amount in totals.iter_rows())
