"""What a night's plan left on the table, split into prediction and allocation.

All three plans are over the engine's own open alternatives and its clerks' minutes. The best
knows the true effects; the second allocates the values that the lists follow exactly; the third is
what was drawn. The first gap is prediction's, with what draws from belief try on purpose; the
second is allocation's (floors, the lottery, levers).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from experiments.common.integer_plan import integer_plan
from nba.decisions.allocation import Programme, solve
from nba.decisions.settings import Factors
from nba.pipeline.context import RunContext
from nba.pipeline.kept import kept_plan
from nba.pipeline.preview import preview
from nba.schema.words import CONTACT_MODES
from nba.simulation.world import World

#: The list with every factor on.
FULL = "all"
_MODES = tuple(str(mode) for mode in CONTACT_MODES)


def night_regret(world: World, run_folder: Path) -> dict[str, float]:
    """Return the true value of the best, the predicted and the drawn plan of one night.

    Parameters
    ----------
    world : World
        Standing at the day of the plan.
    run_folder : Path
        The night's folder, with its decision log and clerks.

    Returns
    -------
    dict of str to float
        `best`, `predicted`, `drawn`: expected incremental margin, one step ahead.
    """
    log = pl.read_parquet(run_folder / "plan" / "log.parquet").filter(pl.col("closed").is_null())
    clerks = pl.read_parquet(run_folder / "plan" / "clerks.parquet").sort("clerk_id")
    log = log.filter(pl.col("clerk_id").is_in(clerks["clerk_id"].implode()))
    if log.is_empty():
        return {"best": 0.0, "predicted": 0.0, "drawn": 0.0}
    shape = (log.height, len(_MODES))
    value, minutes = np.zeros(shape), np.ones(shape)
    is_open = np.zeros(shape, dtype=bool)
    rows = (
        log.with_row_index("row")
        .select("row", "alternatives")
        .explode("alternatives")
        .unnest("alternatives")
        .filter(pl.col("mode") != "none")
    )
    at = (rows["row"].to_numpy(), rows["mode"].replace_strict(_codes()).to_numpy())
    value[at], minutes[at], is_open[at] = rows["value"], rows["minutes"], True
    true = np.column_stack(
        [
            world.true_effect(world.day, log["customer_id"], mode)["effect_amount"].to_numpy()
            for mode in _MODES
        ]
    )
    clerk = log["clerk_id"].replace_strict(_places(clerks["clerk_id"])).to_numpy()
    budget = clerks["minutes"].to_numpy()

    def best_by(worth: np.ndarray) -> float:
        programme = Programme(clerk, worth, minutes, is_open & (worth > 0), budget)
        return _earned(true, integer_plan(programme, solve(programme)))

    drawn = log["mode"].replace_strict({**_codes(), "none": -1}).to_numpy()
    return {"best": best_by(true), "predicted": best_by(value), "drawn": _earned(true, drawn)}


def list_worth(world: World, actions: pl.DataFrame) -> float:
    """Return the true value of a list, with the products that it brings, one step ahead."""
    listed = actions.filter(pl.col("mode").is_in(_MODES))
    if listed.is_empty():
        return 0.0
    effects = world.true_effect(
        world.day, listed["customer_id"], listed["mode"].to_list(), listed["product_ids"]
    )
    return float(effects["effect_amount"].sum())


def night_ablation(world: World, context: RunContext) -> dict[str, float]:
    """Return the true value of the night's list, and of the lists without each factor.

    All are decided on the same inputs, so that what differs is the factor alone.
    """
    worth = {FULL: list_worth(world, kept_plan(context).actions)}
    for factor in Factors.model_fields:
        plan, _ = preview(context, without=[factor])
        worth[factor] = list_worth(world, plan.actions)
    return worth


def _codes() -> dict[str, int]:
    return {mode: code for code, mode in enumerate(_MODES)}


def _places(ids: pl.Series) -> dict[str, int]:
    return {str(name): place for place, name in enumerate(ids)}


def _earned(true: np.ndarray, plan: np.ndarray) -> float:
    chosen = np.flatnonzero(plan >= 0)
    return float(true[chosen, plan[chosen]].sum())
