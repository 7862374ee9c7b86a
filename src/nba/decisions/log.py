"""The decision log and the clerks' ledger of a day."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints, Names
from nba.decisions.allocation import Programme
from nba.decisions.assignment import Assignment
from nba.decisions.modes import MODES
from nba.decisions.pool import Pool
from nba.decisions.rules import DecisionRules
from nba.schema.words import LISTED_ARMS, Mode


def decision_log(
    pool: Pool,
    assigned: Assignment,
    rows: Ints,
    rules: DecisionRules,
    *,
    as_of: datetime,
) -> pl.DataFrame:
    """Return a row and a full probability vector per eligible customer.

    Parameters
    ----------
    assigned : Assignment
        Of the customers `rows` of the pool; the others could not be reached today.
    """
    full = _Full.of(pool, assigned, rows)
    planned = np.zeros(pool.people.height, dtype=bool)
    planned[rows] = True
    working_arm = pl.col("arm").is_in([str(arm) for arm in LISTED_ARMS])
    names = np.array([*(action.action_type for action in rules.actions), ""], dtype=object)
    frame = pool.people.with_columns(
        closed=pl.when(~pl.Series(planned) & working_arm)
        .then(pl.coalesce("closed", pl.lit("clerk_off")))
        .otherwise("closed"),
        as_of=pl.lit(as_of),
        p_shortlist=pl.Series(full.p_shortlist),
        shortlisted=pl.Series(full.listed),
        alternatives=_alternatives(pool, full.x, names),
        action_type=full.pick_text(names[pool.action]),
        mode=pl.Series(full.modes(), dtype=pl.String),
        propensity=pl.Series(full.propensity()),
        explored=pl.Series(full.explored),
        value=pl.Series(full.pick(pool.value)),
        uplift=pl.Series(full.pick(pool.uplift)),
        minutes=pl.Series(full.pick(pool.minutes)),
        need_id=full.pick_text(pool.need),
        category=full.pick_text(pool.category),
        fatigue_cost=pl.Series(pool.fatigue_cost),
        floor=_floors(pool, rules),
        policy_version=pl.lit(rules.policy_version),
        model_versions=pl.lit(rules.model_versions),
    )
    first = ["as_of", "customer_id", "clerk_id", "arm", "closed"]
    return frame.select(*first, pl.exclude(first))


def _floors(pool: Pool, rules: DecisionRules) -> pl.Series:
    """Return the name of the floor from which each customer is served, null for none."""
    names = np.array([*(floor.name for floor in rules.policy.floors), None], dtype=object)
    return pl.Series(names[pool.floor].tolist(), dtype=pl.String)


class _Full:
    """An assignment spread over all customers of the pool."""

    def __init__(self, x: Floats, choice: Ints) -> None:
        count = len(x)
        self.x, self.choice = x, choice
        self.p_shortlist = np.zeros(count)
        self.listed = np.zeros(count, dtype=bool)
        self.explored = np.zeros(count, dtype=bool)

    @classmethod
    def of(cls, pool: Pool, assigned: Assignment, rows: Ints) -> _Full:
        x = np.zeros(pool.value.shape)
        x[rows] = assigned.marginal
        choice = np.full(len(x), -1, dtype=np.int64)
        choice[rows] = assigned.drawn
        full = cls(x, choice)
        full.p_shortlist[rows] = assigned.p_shortlist
        full.listed[rows] = assigned.listed
        full.explored[rows] = assigned.explored
        return full

    def pick(self, values: Floats) -> Floats:
        """Return the number of what was drawn, zero for none."""
        at = np.maximum(self.choice, 0)[:, None]
        picked: Floats = np.where(self.choice >= 0, np.take_along_axis(values, at, 1)[:, 0], 0.0)
        return picked

    def pick_text(self, values: Names) -> pl.Series:
        """Return the name of what was drawn, null for none."""
        at = np.maximum(self.choice, 0)[:, None]
        names = pl.Series(np.take_along_axis(values, at, 1)[:, 0].tolist(), dtype=pl.String)
        return names.set(pl.Series(self.choice < 0), None)

    def modes(self) -> Names:
        names = np.array([*(str(mode) for mode in MODES), str(Mode.NONE)], dtype=object)
        return names[self.choice]

    def propensity(self) -> Floats:
        none = none_probability(self.x)
        propensity: Floats = np.where(self.choice >= 0, self.pick(self.x), none)
        return propensity


def none_probability(x: Floats) -> Floats:
    """Return what is left for `none`; rounding never makes it negative."""
    left: Floats = np.clip(1.0 - x.sum(axis=1), 0.0, 1.0)
    return left


def _alternatives(pool: Pool, x: Floats, names: Names) -> pl.Series:
    """Return the open alternatives of each customer, `none` last, as lists of structs."""
    count, width = pool.value.shape
    is_open = pool.action >= 0
    zero = np.zeros((count, 1))
    keep = np.concatenate([is_open, np.ones((count, 1), dtype=bool)], axis=1).ravel()

    def flat(values: Any, of_none: Any) -> Any:
        return np.concatenate([values, of_none], axis=1).ravel()[keep]

    none = np.full((count, 1), str(Mode.NONE), dtype=object)
    nothing = np.full((count, 1), None, dtype=object)
    modes = np.array([*(str(mode) for mode in MODES), str(Mode.NONE)], dtype=object)
    table = pl.DataFrame(
        {
            "row": np.repeat(np.arange(count), width + 1)[keep],
            "action_type": pl.Series(flat(names[pool.action], none), dtype=pl.String),
            "mode": pl.Series(np.tile(modes, count)[keep], dtype=pl.String),
            "need_id": pl.Series(flat(pool.need, nothing).tolist(), dtype=pl.String),
            "category": pl.Series(flat(pool.category, nothing).tolist(), dtype=pl.String),
            "value": flat(pool.value, zero),
            "minutes": flat(pool.minutes, zero),
            "probability": flat(x, none_probability(x)[:, None]),
        }
    )
    grouped = table.group_by("row", maintain_order=True).agg(
        pl.struct(
            "action_type", "mode", "need_id", "category", "value", "minutes", "probability"
        ).alias("alternatives")
    )
    return grouped["alternatives"]


def clerk_report(
    working: pl.DataFrame, programme: Programme, assigned: Assignment, is_money: Bools
) -> pl.DataFrame:
    """Return the ledger: minutes, actions, value against its bound, price of a minute.

    Parameters
    ----------
    working : DataFrame
    programme : Programme
    assigned : Assignment
    is_money : array of bool, shape (customers,)
        Whose values are money; others are left out of the sums of values.
    """
    clerks = working.height
    taken = assigned.drawn >= 0
    at = np.maximum(assigned.drawn, 0)[:, None]

    def total(weights: Floats) -> pl.Series:
        sums = np.bincount(programme.clerk, weights=weights, minlength=clerks)
        return pl.Series(sums.astype(np.float64))

    def drawn(values: Floats) -> Floats:
        picked: Floats = np.where(taken, np.take_along_axis(values, at, 1)[:, 0], 0.0)
        return picked

    return working.select("clerk_id", "store_id", minutes_own="minutes_per_day").with_columns(
        minutes=pl.Series(programme.budget),
        minutes_planned=total(drawn(programme.minutes)),
        minutes_expected=total((assigned.marginal * programme.minutes).sum(axis=1)),
        actions=total(taken.astype(np.float64)).cast(pl.Int64),
        value_planned=total(np.where(is_money, drawn(programme.value), 0.0)),
        value_expected=total(
            np.where(is_money, (assigned.marginal * programme.value).sum(axis=1), 0.0)
        ),
        value_bound=pl.Series(assigned.bound),
        price_per_minute=pl.Series(assigned.price),
    )
