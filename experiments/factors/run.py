"""`python -m experiments factors`: what each factor earns, one step ahead or over weeks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from experiments.common.compare import append_rows, prepare, world_configs
from experiments.common.policies import PolicyFactory
from experiments.factors.nights import WHOLE, factor_plans
from experiments.factors.weeks import FOR_WEEKS, EngineWithout
from experiments.worlds.engine import EnginePolicy
from experiments.worlds.lists import LISTS
from experiments.worlds.play import Plays, play_world
from experiments.worlds.run import SCRATCH, print_line, project_folder
from nba.simulation.config import WorldConfig
from nba.simulation.observed import Rules
from nba.simulation.world import World


@dataclass(frozen=True)
class FactorsResult:
    """A row per world, night and factor that was off, and what was played.

    Parameters
    ----------
    rows : list of dict
        preset, family, seed, night (of weeks 0), off, amount; of weeks also `realised_amount` and
        `standard_error` over no contact.
    weeks : int
        0: one step ahead.
    """

    rows: list[dict[str, Any]]
    weeks: int = 0


def play_factors(
    *,
    presets: Sequence[str] = ("published", "conservative"),
    families: Sequence[str] = ("extra_orders", "capture", "attention", "seasonal_gift"),
    seeds: Sequence[int] = (21,),
    nights: Sequence[int] = (0, 21),
    weeks: int = 0,
    off: Sequence[str] = (),
    customers: int = 2000,
    clerks: int = 12,
    days: int = 365,
    assortment: str = "fashion",
    contacts_before: bool = True,
    log: str = "",
) -> FactorsResult:
    """Plan nights of the engine as it ships, and again with one factor after another off.

    Each list is worth the sum of the true effects of its contacts at the moment they are listed:
    one step ahead, on the very same tables and models. Between the nights the engine plays. With
    `weeks` the engine plays them once with everything and once without each factor, on the same
    random numbers.

    Parameters
    ----------
    presets, families : sequence of str
        Which contacts fit whom, and how effects arise.
    seeds : sequence of int
        One world each, for every preset and family.
    nights : sequence of int
        Nights after the history on which factors are switched off, 0 the first.
    weeks : int
        Played without each factor, in place of nights; 0: one step ahead.
    off : sequence of str
        The factors that are off for weeks; empty: all but those that ship without effect.
    customers, clerks : int
        Size of each world.
    days : int
        Of history.
    assortment : str
        `fashion` or `everyday`.
    contacts_before : bool
        Clerks wrote by habit, and a pilot ran, before.
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
        habits=contacts_before,
        pilot=contacts_before,
    )
    for config in worlds:
        about = {"preset": str(config.preset), "family": str(config.family), "seed": config.seed}
        new = [
            about | row for row in (_weeks(config, weeks, off) if weeks else _world(config, nights))
        ]
        rows += new
        append_rows(log, new)
        print_line(" ".join(map(str, about.values())) + ": " + _line(new))
    return FactorsResult(rows, weeks)


def _weeks(config: WorldConfig, weeks: int, off: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Play a world with everything and without each factor; yield a row for each."""
    scratch = Path(tempfile.mkdtemp(prefix="nba-factors-", dir=SCRATCH))
    makers: dict[str, PolicyFactory] = {
        "no_contact": LISTS["no_contact"],
        WHOLE: lambda world, rules: EnginePolicy(project_folder(scratch)),
        **{name: partial(_engine_without, scratch, name) for name in off or FOR_WEEKS},
    }
    try:
        played = play_world(config, makers, Plays(weeks, 0), say=print_line)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    for row in played[1:]:
        yield {
            "night": 0,
            "off": row["policy"],
            "amount": row["true_amount"],
            "contacts": int(sum(row["contacts"])),
            "realised_amount": row["incremental_amount"],
            "standard_error": row["standard_error"],
        }


def _engine_without(scratch: Path, off: str, world: World, rules: Rules) -> EngineWithout:
    return EngineWithout(project_folder(scratch), off)


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
