"""The observable oracle: the truth as far as a retailer can see it.

True effects are regressed on what a retailer sees, over worlds of other seeds. The result
plans like the oracle, with every effect replaced by its expectation given the features: the
most that any engine with these features could reach, up to the regression's own error.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from experiments.common.compare import prepare
from experiments.common.policies import (
    ByEffect,
    RandomContacts,
    effect_sample,
)
from nba.errors import UsageError
from nba.schema.words import CONTACT_MODES
from nba.simulation.config import Preset, WorldConfig
from nba.simulation.observed import ObservedTables, Rules
from nba.simulation.world import World

#: Makes numeric features, keyed by customer_id, for some customers on a day.
FeatureMaker = Callable[[dt.date, ObservedTables, pl.DataFrame], pl.DataFrame]

_ABOUT: Final = "about.json"
_PARAMETERS: Final = {
    "objective": "regression",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
    "seed": 1,
}


def observable_features(day: dt.date, observed: ObservedTables, who: pl.DataFrame) -> pl.DataFrame:
    """Return plain features of some customers, from the tables alone: the default maker."""
    history = observed.purchases().filter(pl.col("date") < day)
    goods = observed.table("products").select(
        "product_id",
        "category",
        pl.col("price").cast(pl.Float64),
        (pl.col("price").cast(pl.Float64) - pl.col("cost").cast(pl.Float64)).alias("unit_margin"),
    )
    lines = history.join(goods, on="product_id", how="left").with_columns(
        (pl.lit(day) - pl.col("date")).dt.total_days().alias("age")
    )
    frame = who.select("customer_id")
    for part in (
        _behaviour(lines),
        _by_category(lines),
        _answers(day, observed),
        _contacts(day, observed),
    ):
        frame = frame.join(part, on="customer_id", how="left", maintain_order="left")
    return frame


def _behaviour(lines: pl.DataFrame) -> pl.DataFrame:
    days = lines.select("customer_id", "age").unique().sort("customer_id", "age")
    gaps = days.with_columns(pl.col("age").diff().over("customer_id").alias("gap"))
    rhythm = gaps.group_by("customer_id").agg(
        pl.col("age").min().alias("days_since_purchase"),
        pl.col("age").max().alias("days_since_first_purchase"),
        pl.len().alias("purchase_days"),
        pl.col("gap").median().alias("gap_days_median"),
        pl.col("gap").std().alias("gap_days_std"),
    )
    money = lines.group_by("customer_id").agg(
        pl.col("amount").sum().alias("spend"),
        pl.col("amount").max().alias("largest"),
        pl.col("unit_margin").mean().alias("unit_margin"),
        pl.col("price").mean().alias("price"),
        pl.col("category").n_unique().alias("categories"),
        pl.col("product_id").n_unique().alias("products"),
        pl.col("amount").filter(pl.col("age") <= 90).sum().alias("spend_90d"),
    )
    return rhythm.join(money, on="customer_id").with_columns(
        (pl.col("days_since_purchase") / pl.col("gap_days_median")).alias("overdue_ratio")
    )


def _by_category(lines: pl.DataFrame) -> pl.DataFrame:
    """Return spend and age of the last purchase by category, and the most overdue category."""
    per = lines.group_by("customer_id", "category").agg(
        pl.col("age").min().alias("age"),
        pl.col("age").max().alias("oldest"),
        pl.col("age").n_unique().alias("times"),
        pl.col("amount").sum().alias("amount"),
        pl.col("unit_margin").mean(),
    )
    gap = (pl.col("oldest") - pl.col("age")) / (pl.col("times") - 1)
    ratio = pl.when(pl.col("times") > 1).then(pl.col("age") / gap)
    due = per.with_columns(ratio.alias("ratio")).with_columns(
        (pl.col("ratio").clip(0, 1.5) * pl.col("unit_margin") / gap).alias("due_margin")
    )
    top = due.group_by("customer_id").agg(
        pl.col("ratio").max().alias("ratio_max"), pl.col("due_margin").sum()
    )
    wide = due.sort("category").pivot(
        on="category", index="customer_id", values=["amount", "age", "ratio"]
    )
    return top.join(wide, on="customer_id", how="left")


def _contacts(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    made = observed.table("interactions").filter((pl.col("mode") != "none") & (pl.col("ts") < day))
    age = (pl.lit(day) - pl.col("ts").dt.date()).dt.total_days()
    chat = pl.col("channel") != "moments"
    return made.group_by("customer_id").agg(
        age.filter(chat).min().alias("days_since_chat"),
        *((age <= d).sum().alias(f"contacts_{d}d") for d in (7, 14, 30, 90)),
        *((pl.col("mode") == str(mode)).sum().alias(f"contacts_{mode}") for mode in CONTACT_MODES),
        (0.5 ** (age / 10)).sum().alias("fatigue"),
        pl.len().alias("contacts"),
    )


def _answers(day: dt.date, observed: ObservedTables) -> pl.DataFrame:
    kinds = ("read", "clicked", "replied", "purchased", "attended", "complained")
    made = observed.table("interactions").select("interaction_id", "mode")
    answers = (
        observed.table("responses")
        .filter((pl.col("ts") < day) & pl.col("kind").is_in(kinds))
        .join(made, on="interaction_id", how="left")
    )
    warm = pl.col("kind").is_in(["clicked", "replied", "purchased"])
    return answers.group_by("customer_id").agg(
        *((pl.col("kind") == kind).sum().alias(f"answers_{kind}") for kind in kinds),
        *(
            (warm & (pl.col("mode") == str(mode))).sum().alias(f"warm_{mode}")
            for mode in CONTACT_MODES
        ),
    )


@dataclass(frozen=True)
class ObservableEffects:
    """Expected true effects given what a retailer sees: an `Expected` for `ByEffect`.

    Parameters
    ----------
    boosters : mapping of mode to Booster
    names : tuple of str
        Features, in the order of the boosters.
    seeds : tuple of int
        The worlds that it learned from.
    preset : Preset
    rows : int
        Customers and moments that it learned from, per mode.
    features : callable
        What a retailer sees.
    """

    boosters: Mapping[str, lgb.Booster]
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: Preset
    rows: int
    features: FeatureMaker = observable_features

    def __call__(self, day: dt.date, observed: ObservedTables, who: pl.DataFrame) -> pl.DataFrame:
        """Return the expected effect of each mode for the eligible customers of a day."""
        table = self.features(day, observed, who)
        matrix = _matrix(table, self.names)
        return pl.concat(
            table.select("customer_id").with_columns(
                pl.lit(mode).alias("mode"),
                pl.Series("effect_amount", np.asarray(booster.predict(matrix))),
            )
            for mode, booster in self.boosters.items()
        )

    def save(self, folder: Path) -> None:
        """Write it to a folder, as LightGBM text and JSON."""
        folder.mkdir(parents=True, exist_ok=True)
        for mode, booster in self.boosters.items():
            booster.save_model(str(folder / f"{mode}.txt"))
        about = {
            "names": self.names,
            "seeds": self.seeds,
            "preset": str(self.preset),
            "rows": self.rows,
        }
        (folder / _ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; its features are the default ones."""
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        boosters = {
            str(mode): lgb.Booster(model_file=str(folder / f"{mode}.txt")) for mode in CONTACT_MODES
        }
        return cls(
            boosters,
            tuple(about["names"]),
            tuple(about["seeds"]),
            Preset(about["preset"]),
            about["rows"],
        )

    def policy(self, world: World, rules: Rules) -> ByEffect:
        """Return the observable oracle for a world, as a factory for `compare_policies`.

        Raises
        ------
        UsageError
            It has seen the world that it would plan for, or learned in another preset.
        """
        if world.config.seed in self.seeds or world.config.preset is not self.preset:
            known = ", ".join(map(str, self.seeds))
            raise UsageError(
                "the observable oracle may not plan for this world",
                expected=f"preset {self.preset} and a seed other than {known}, which it has seen",
                found=f"preset {world.config.preset}, seed {world.config.seed}",
                next_step="fit it on worlds of other seeds",
            )
        return ByEffect(rules, self)


def fit_expected(
    config: WorldConfig,
    *,
    seeds: Sequence[int],
    days: int = 42,
    every: int = 7,
    rules: Rules | None = None,
    features: FeatureMaker = observable_features,
    rounds: int = 300,
    threads: int = 2,
) -> ObservableEffects:
    """Regress true effects on what a retailer sees, over worlds of the given seeds.

    Parameters
    ----------
    config : WorldConfig
        The kind and size of world; its seed is replaced.
    seeds : sequence of int
        Worlds to learn from; none may be the world that is planned for.
    days, every : int
        After each history, a random policy plays this many days, and a sample is taken
        every so many, so that states of fatigue differ.
    rules : Rules or None
    features : callable
        What a retailer sees; by default plain features from the tables.
    rounds : int
        Boosting rounds.
    threads : int

    Returns
    -------
    ObservableEffects
    """
    parts = [
        part
        for seed in seeds
        for part in _samples(
            config.model_copy(update={"seed": seed}), days, every, rules or Rules(), features
        )
    ]
    sample = pl.concat(parts, how="diagonal_relaxed")
    names = tuple(c for c in sample.columns if c not in ("customer_id", "mode", "effect_amount"))
    boosters = {}
    for mode in CONTACT_MODES:
        rows = sample.filter(pl.col("mode") == str(mode))
        data = lgb.Dataset(_matrix(rows, names), rows["effect_amount"].to_numpy())
        boosters[str(mode)] = lgb.train(
            {**_PARAMETERS, "num_threads": threads}, data, num_boost_round=rounds
        )
    return ObservableEffects(
        boosters, names, tuple(seeds), config.preset, sample.height // len(boosters), features
    )


def _matrix(table: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.float32]:
    lacking = [pl.lit(None, pl.Float32).alias(n) for n in names if n not in table.columns]
    return table.with_columns(lacking).select(names).cast(pl.Float32).to_numpy()


def _samples(
    config: WorldConfig, days: int, every: int, rules: Rules, features: FeatureMaker
) -> Iterator[pl.DataFrame]:
    world, observed = prepare(config)
    policy = RandomContacts(rules, config.seed)
    for offset in range(days):
        if offset % every == 0:
            truth = effect_sample(world, observed, rules)
            seen = features(world.date, observed, truth.select("customer_id").unique())
            effects = truth.select("customer_id", "mode", "effect_amount")
            yield effects.join(seen, on="customer_id", how="left").with_columns(
                cs.numeric().cast(pl.Float32)
            )
        observed.add(world.step(world.day, policy.plan(world.date, observed)).tables)
