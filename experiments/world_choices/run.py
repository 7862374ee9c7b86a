"""`python -m experiments world_choices`: one night's lists, and where each of them loses."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from experiments.common.compare import prepare, world_configs
from experiments.world_choices.choices import replaced_choices
from experiments.worlds.run import SCRATCH, makers
from nba.simulation.config import WorldConfig
from nba.simulation.observed import Rules


def world_choices(
    *,
    presets: Sequence[str] = ("published", "conservative"),
    families: Sequence[str] = ("extra_orders", "capture"),
    seeds: Sequence[int] = (11,),
    policies: Sequence[str] = ("most_overdue", "due_worth", "engine"),
    customers: int = 2000,
    clerks: int = 12,
    days: int = 365,
    assortment: str = "fashion",
) -> pl.DataFrame:
    """Return what one night's lists are worth, and with one choice after another the truth's.

    Parameters
    ----------
    presets, families : sequence of str
        Which contacts fit whom, and how effects arise.
    seeds : sequence of int
        One world each, for every preset and family.
    policies : sequence of str
        As in the experiment `worlds`.
    customers, clerks : int
        Size of each world.
    days : int
        Of history, before the night.
    assortment : str
        `fashion` or `everyday`.

    Returns
    -------
    DataFrame
        One row per world and policy: preset, family, seed, policy, and the sums that
        `replaced_choices` returns, in money.
    """
    rows = []
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
        rows += [about | row for row in _one_night(config, policies)]
    return pl.DataFrame(rows)


def _one_night(config: WorldConfig, policies: Sequence[str]) -> list[dict[str, object]]:
    """Return a row per policy that lists anybody on the first night after the history."""
    world, observed = prepare(config)
    rules, rows = Rules(), []
    scratch = Path(tempfile.mkdtemp(prefix="nba-choices-", dir=SCRATCH))
    try:
        for name, make in makers(policies, config, scratch, observable_worlds=3).items():
            plan = make(world, rules).plan(world.date, observed)
            if plan is not None:
                rows.append({"policy": name, **replaced_choices(world, observed, plan, rules)})
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return rows
