"""The thin timing model: sane curves, newcomers, planted rhythms."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.errors import ModelError
from nba.models.base import ModelInputs
from nba.models.timing.recency_gap import RecencyGap

AS_OF = datetime(2026, 3, 1)


def rhythm(gap: int, customers: int, name: str, days: int = 360, phase: int = 0) -> pl.DataFrame:
    """Return customers who buy every `gap` days, the last time `phase` days before AS_OF."""
    rows = [
        (f"{name}{i:03d}", AS_OF - timedelta(days=back))
        for i in range(customers)
        for back in range(phase + 1 + i % gap, days, gap)
    ]
    return pl.DataFrame(rows, ["customer_id", "ts"], orient="row").with_columns(
        amount=pl.lit(50.0), category=pl.lit(name), ts=pl.col("ts").cast(pl.Datetime("us"))
    )


@pytest.fixture(scope="module")
def purchases() -> pl.DataFrame:
    return pl.concat([rhythm(7, 80, "weekly"), rhythm(60, 80, "rare")])


@pytest.fixture(scope="module")
def model(purchases: pl.DataFrame) -> RecencyGap:
    return RecencyGap().fit(ModelInputs({"purchases": purchases}), as_of=AS_OF, seed=1)


def test_curves_start_at_one_and_never_rise(model: RecencyGap, purchases: pl.DataFrame) -> None:
    scores = model.score(ModelInputs({"purchases": purchases}), as_of=AS_OF)
    curves = np.stack(scores["survival"].to_list())
    assert curves.shape == (160, 91)
    assert (curves[:, 0] == 1.0).all()
    assert (np.diff(curves, axis=1) <= 0).all()
    assert ((curves >= 0) & (curves <= 1)).all()
    for horizon in (7, 14, 30, 90):
        assert scores[f"p_purchase_{horizon}d"].to_numpy() == pytest.approx(1 - curves[:, horizon])


def test_short_rhythms_come_back_sooner(model: RecencyGap, purchases: pl.DataFrame) -> None:
    scores = model.score(ModelInputs({"purchases": purchases}), as_of=AS_OF)
    weekly = scores.filter(pl.col("customer_id").str.starts_with("weekly"))
    rare = scores.filter(pl.col("customer_id").str.starts_with("rare"))
    assert weekly["p_purchase_7d"].mean() > rare["p_purchase_7d"].mean() + 0.4
    assert weekly["expected_days"].mean() < 10 < rare["expected_days"].mean()
    assert weekly["expected_margin_365d"].mean() > 2 * rare["expected_margin_365d"].mean()


def test_interval_encloses_the_expected_date(model: RecencyGap, purchases: pl.DataFrame) -> None:
    scores = model.score(ModelInputs({"purchases": purchases}), as_of=AS_OF)
    assert (scores["expected_days_low"] <= scores["expected_days"]).all()
    assert (scores["expected_days"] <= scores["expected_days_high"]).all()


def test_a_friend_who_never_bought_has_a_sane_score(model: RecencyGap) -> None:
    behaviour = pl.DataFrame(
        {
            "customer_id": ["new"],
            "purchase_days": [0],
            "days_since_purchase": [None],
            "gap_days_median": [None],
            "margin_amount": [None],
        },
        schema_overrides=dict.fromkeys(("days_since_purchase", "gap_days_median"), pl.Float64),
    )
    score = model.score(ModelInputs({"customer_behaviour": behaviour}), as_of=AS_OF).row(
        0, named=True
    )
    assert 0 < score["p_purchase_30d"] < 1
    assert score["overdue_ratio"] == 0
    assert score["expected_margin_365d"] > 0


def test_features_and_log_give_the_same_scores(model: RecencyGap, purchases: pl.DataFrame) -> None:
    from_log = model.score(ModelInputs({"purchases": purchases}), as_of=AS_OF)
    behaviour = (
        purchases.sort("ts")
        .group_by("customer_id")
        .agg(
            purchase_days=pl.len(),
            days_since_purchase=(pl.lit(AS_OF) - pl.col("ts").last()).dt.total_days(),
            gap_days_median=pl.col("ts").diff().dt.total_days().median(),
            margin_amount=pl.col("amount").sum() * 0.3,
        )
    )
    from_features = model.score(ModelInputs({"customer_behaviour": behaviour}), as_of=AS_OF)
    assert from_features["p_purchase_30d"].to_list() == from_log["p_purchase_30d"].to_list()


def test_categories_have_their_own_rhythm(model: RecencyGap, purchases: pl.DataFrame) -> None:
    scores = model.score_categories(ModelInputs({"purchases": purchases}), as_of=AS_OF)
    assert scores.columns[:2] == ["customer_id", "category"]
    means = dict(scores.group_by("category").agg(pl.col("p_purchase_14d").mean()).iter_rows())
    assert means["weekly"] > means["rare"] + 0.4


def test_without_any_purchase_the_default_gap_rules() -> None:
    nothing = rhythm(7, 1, "x").clear()
    model = RecencyGap().fit(ModelInputs({"purchases": nothing}), as_of=AS_OF, seed=1)
    one = rhythm(300, 1, "x")
    score = model.score(ModelInputs({"purchases": one}), as_of=AS_OF).row(0, named=True)
    assert 0 < score["p_purchase_90d"] < 0.6


def test_unfitted_model_says_so(purchases: pl.DataFrame) -> None:
    with pytest.raises(ModelError, match="no customer curves"):
        RecencyGap().score(ModelInputs({"purchases": purchases}), as_of=AS_OF)
