"""A plain method recovers what was planted."""

from __future__ import annotations

import polars as pl
import pytest

from experiments.common.planted import planted_rhythm, planted_taste
from nba.simulation.streams import Streams


def test_planted_rhythm_is_recovered_from_mean_gaps():
    planted = planted_rhythm(customers=150)
    gaps = (
        planted.tables["transactions"]
        .sort("customer_id", "ts")
        .with_columns((pl.col("ts").diff().over("customer_id").dt.total_hours() / 24).alias("gap"))
        .group_by("customer_id")
        .agg(pl.col("gap").mean(), (pl.col("gap").std() / pl.col("gap").mean()).alias("spread"))
    )
    both = gaps.join(planted.truth, on="customer_id")
    assert (both["gap"] / both["gap_days"] - 1).abs().median() < 0.1
    spread = both.group_by("regularity").agg(pl.col("spread").median()).sort("regularity")
    assert spread["spread"][0] == pytest.approx(1.0, abs=0.2)  # exponential
    assert spread["spread"][1] == pytest.approx(0.28, abs=0.08)  # Weibull shape 4


def test_planted_taste_is_where_customers_buy():
    planted = planted_taste()
    assert planted.truth.group_by("customer_id").agg(pl.col("probability").sum())[
        "probability"
    ].to_list() == pytest.approx([1.0] * 200)
    bought = planted.tables["transactions"].join(
        planted.truth, on=["customer_id", "product_id"], how="left"
    )
    high = planted.truth["probability"].max()
    assert (bought["probability"] > high * 0.99).mean() == pytest.approx(0.85, abs=0.02)


def test_streams_do_not_depend_on_what_else_is_drawn():
    """Uniform, and the same by index, day and name."""
    import numpy as np

    streams = Streams(11)
    draws = streams.uniform("a", np.arange(200_000), day=3)
    assert draws.mean() == pytest.approx(0.5, abs=0.003)
    assert draws.var() == pytest.approx(1 / 12, abs=0.001)
    assert np.corrcoef(draws[1:], draws[:-1])[0, 1] == pytest.approx(0, abs=0.01)
    other = streams.uniform("a", np.arange(200_000), day=4)
    assert np.corrcoef(draws, other)[0, 1] == pytest.approx(0, abs=0.01)
    shares = np.array([0.2, 0.3, 0.5])
    counts = np.bincount(streams.choice("b", np.arange(100_000), shares)) / 100_000
    np.testing.assert_allclose(counts, shares, atol=0.006)
