"""The gain curve of the lists: found where values rank, flat where they do not."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl

from nba.evaluation.impact.gains import list_gains
from nba.evaluation.impact.listings import PAST
from nba.evaluation.uplift import rank_share


def rows(slope: float, count: int = 6000, *, seed: int = 2) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    value = rng.uniform(0, 1, count)
    chance = rng.uniform(0.2, 0.6, count)
    listed = rng.random(count) < chance
    past = rng.gamma(2.0, 5.0, count)
    effect = 5.0 + slope * (value - 0.5)
    return pl.DataFrame(
        {
            "day": [dt.date(2026, 1, 1)] * count,
            "customer_id": [f"C{i}" for i in range(count)],
            "mode": np.where(listed, "topic_expert", "none"),
            "p_none": 1 - chance,
            "best_value": value,
            "margin": past + effect * listed + rng.normal(0, 3, count),
            **{name: past if name.startswith("margin") else 1.0 for name in PAST},
        }
    )


def test_a_planted_order_is_found_with_its_qini() -> None:
    table = rows(20.0)
    found = list_gains(table)
    rank = rank_share(table["best_value"].to_numpy())
    truth = float(((0.5 - rank) * 20.0 * (table["best_value"].to_numpy() - 0.5)).mean())
    assert found.verdict == "ranks"
    assert found.lower < truth < found.upper
    assert found.curve["share"].to_list()[::20] == [0.0, 1.0]


def test_an_order_that_is_none_or_upside_down_is_told() -> None:
    assert list_gains(rows(0.0)).verdict == "open"
    assert list_gains(rows(-20.0)).verdict == "misranks"


def test_few_listings_say_nothing() -> None:
    assert list_gains(rows(20.0, count=60)).verdict == "unknown"
