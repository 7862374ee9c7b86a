"""Every timing model keeps the contract."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
from tests.models.contract import ModelContract

from nba.models.base import Frames
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


class TestRecencyGapContract(ModelContract):
    model_class = RecencyGap
    as_of = AS_OF

    def training(self) -> Frames:
        return Frames({"purchases": purchase_log()})

    def inputs(self) -> Frames:
        return Frames({"purchases": purchase_log()})
