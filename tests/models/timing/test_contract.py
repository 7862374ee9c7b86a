"""Every timing model keeps the contract."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from nba.models.base import Model, ModelInputs
from nba.models.contract import ModelContract
from nba.models.timing.boosted import BoostedConfig
from nba.models.timing.hazard import Hazard, HazardConfig
from nba.models.timing.recency_gap import RecencyGap

AS_OF = datetime(2026, 3, 1)


def purchase_log(customers: int = 120, days: int = 400, seed: int = 5) -> pl.DataFrame:
    """Return a log in which customer i buys every 10 + i % 50 days, more or less."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(customers):
        gap = 10 + i % 50
        day = float(rng.uniform(0, days))
        while day < days:
            rows.append((f"c{i:04d}", day, float(rng.lognormal(3, 0.5)), f"k{rng.integers(3)}"))
            day += rng.gamma(4.0, gap / 4.0)
    start = AS_OF - timedelta(days=days)
    return pl.DataFrame(rows, ["customer_id", "day", "amount", "category"], orient="row").select(
        "customer_id",
        (pl.lit(start) + pl.duration(microseconds=(pl.col("day") * 86_400_000_000).cast(pl.Int64)))
        .cast(pl.Datetime("us"))
        .alias("ts"),
        "amount",
        pl.lit(1.0).alias("quantity"),
        "category",
    )


def states(customers: int = 130) -> pl.DataFrame:
    """Return customers of three stores; the last ten never bought."""
    return pl.DataFrame(
        {
            "customer_id": [f"c{i:04d}" for i in range(customers)],
            "store_id": [f"s{i % 3}" for i in range(customers)],
        }
    )


class TestRecencyGapContract(ModelContract):
    model_class = RecencyGap
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return ModelInputs({"purchases": purchase_log()})

    def inputs(self) -> ModelInputs:
        return ModelInputs({"purchases": purchase_log()})


class TestHazardContract(ModelContract):
    model_class = Hazard
    config = HazardConfig(
        cutoff_step_days=28, threads=1, chunk=50, boosted=BoostedConfig(trees=20, rows_per_leaf=50)
    )
    as_of = AS_OF

    def training(self) -> ModelInputs:
        return ModelInputs({"purchases": purchase_log(), "customer_state": states()})

    def inputs(self) -> ModelInputs:
        return ModelInputs({"purchases": purchase_log(), "customer_state": states()})


class TestHazardCategoriesContract(TestHazardContract):
    """The customer × category frame keeps the same promises."""

    def score(self, model: Model, inputs: ModelInputs) -> pl.DataFrame:
        assert isinstance(model, Hazard)
        return model.score_categories(inputs, as_of=self.as_of)


class TestRecencyGapCategoriesContract(TestRecencyGapContract):
    def score(self, model: Model, inputs: ModelInputs) -> pl.DataFrame:
        assert isinstance(model, RecencyGap)
        return model.score_categories(inputs, as_of=self.as_of)
