"""The observable oracle at the grain of a need: true effects regressed on what a retailer sees.

In worlds of other seeds the true effect of bringing each customer, in each mode, the product
bought last in each category is regressed on what the tables tell of customer and category. The list
that allocates these expectations is the most that such a list could earn, up to the regression's
own error.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import lightgbm as lgb
import numpy as np
import polars as pl

from experiments.common.compare import prepare
from experiments.common.policies import RandomContacts
from experiments.worlds.lists import KINDS, DueWorth, due_worth, needs
from nba.arrays import Floats
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

#: Seeds of the worlds that are learned from begin here.
OTHER_SEEDS: Final = 1001
#: Days that a random list plays after the history, and how often a sample is taken.
SAMPLE_DAYS, SAMPLE_EVERY = 15, 7
ROUNDS: Final = 200
_PARAMETERS: Final = {
    "objective": "regression",
    "learning_rate": 0.06,
    "num_leaves": 31,
    "min_data_in_leaf": 60,
    "lambda_l2": 10.0,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
    "seed": 1,
}


class ObservableOracle(DueWorth):
    """Allocates what true effects are expected to be, given what a retailer sees.

    Parameters
    ----------
    rules : Rules
    boosters : sequence of Booster
        One per mode.
    """

    name = "observable_oracle"

    def __init__(self, rules: Rules, boosters: Sequence[Any]) -> None:
        super().__init__(rules)
        self.boosters = boosters

    def worth(self, day: dt.date, observed: ObservedTables, states: pl.DataFrame) -> Floats:
        """Return the expected effect of each row's category in each mode."""
        matrix = features(day, observed, states)
        return np.column_stack([booster.predict(matrix) for booster in self.boosters])


def fit_observable(config: WorldConfig, *, worlds: int) -> list[Any]:
    """Regress true effects on what a retailer sees, in worlds of other seeds.

    Parameters
    ----------
    config : WorldConfig
        Its seed is replaced by 1001 and those that follow.
    worlds : int

    Returns
    -------
    list of Booster
        One per mode.
    """
    parts = [
        _sample(config.model_copy(update={"seed": OTHER_SEEDS + place})) for place in range(worlds)
    ]
    matrix = np.concatenate([matrix for matrix, _ in parts])
    effects = np.concatenate([effects for _, effects in parts])
    return [
        lgb.train(_PARAMETERS, lgb.Dataset(matrix, effects[:, mode]), num_boost_round=ROUNDS)
        for mode in range(len(CONTACT_MODES))
    ]


def _sample(config: WorldConfig) -> tuple[Floats, Floats]:
    world, observed = prepare(config)
    rules = Rules()
    policy = RandomContacts(rules, config.seed)
    matrices, effects = [], []
    for offset in range(SAMPLE_DAYS):
        if offset % SAMPLE_EVERY == 0:
            states = needs(world.date, observed, observed.eligible(world.date, rules))
            matrices.append(features(world.date, observed, states))
            effects.append(_true_effects(world, states))
        observed.add(world.step(world.day, policy.plan(world.date, observed)).tables)
    return np.concatenate(matrices), np.concatenate(effects)


def _true_effects(world: World, states: pl.DataFrame) -> Floats:
    products = states.select(pl.concat_list("product_id")).to_series()
    return np.column_stack(
        [
            world.true_effect(world.day, states["customer_id"], str(mode), products)[
                "effect_amount"
            ].to_numpy()
            for mode in CONTACT_MODES
        ]
    )


def features(day: dt.date, observed: ObservedTables, states: pl.DataFrame) -> Floats:
    """Return what the tables tell of each row of `needs` (rows × features)."""
    people = observed.table("customers").select(
        "customer_id",
        birthday=pl.col("birthday").str.tail(5),
        friend_days=(pl.lit(day) - pl.col("friend_since").dt.date()).dt.total_days(),
    )
    past = (
        observed.purchases()
        .filter(pl.col("date") < day)
        .group_by("customer_id")
        .agg(
            purchase_days=pl.col("date").n_unique(),
            since=(pl.lit(day) - pl.col("date").max()).dt.total_days(),
            spend=pl.col("amount").sum(),
        )
    )
    joined = states.join(people, on="customer_id", how="left", maintain_order="left").join(
        past, on="customer_id", how="left", maintain_order="left"
    )
    worth = due_worth(states)
    this_year = pl.lit(f"{day.year}-") + pl.col("birthday")
    ahead = (this_year.str.to_date("%Y-%m-%d", strict=False) - pl.lit(day)).dt.total_days()
    names = {name: code for code, name in enumerate(sorted(set(states["category"])))}
    table = joined.select(
        "due", "margin", "age_days", "gap_days", "orders", "fatigue", "rate_0", "rate_1", "rate_2",
        "friend_days", "purchase_days", "since", "spend",
        (ahead % 365).alias("birthday_ahead"),
        pl.lit(day.timetuple().tm_yday).alias("year_day"),
        (pl.col("age_days") / pl.col("gap_days")).alias("ratio"),
        pl.col("kind").replace_strict(
            {name: code for code, name in enumerate(KINDS)}, default=None, return_dtype=pl.Int64
        ),
        pl.col("category").replace_strict(names, return_dtype=pl.Int64),
    )  # fmt: skip
    result: Floats = np.column_stack([table.cast(pl.Float64).to_numpy(), worth])
    return result
