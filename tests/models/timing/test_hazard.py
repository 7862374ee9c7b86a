"""The hazard: planted rhythms, newcomers by store, any horizon, money, weekdays."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from nba.errors import ModelError
from nba.models.base import ModelInputs
from nba.models.purchases import day_number, read_log
from nba.models.timing.boosted import BoostedConfig
from nba.models.timing.core import CoreConfig, fit_core
from nba.models.timing.hazard import Hazard, HazardConfig
from nba.models.timing.panel import NAMES

AS_OF = datetime(2026, 3, 1)
SMALL = HazardConfig(
    cutoff_step_days=28,
    threads=1,
    boosted=BoostedConfig(trees=40, learning_rate=0.1, rows_per_leaf=60),
)


def shop(customers: int = 400, days: int = 500, seed: int = 4) -> pl.DataFrame:
    """Return two kinds of customers: every 10 days, and every 45 days, four days of ten at most.

    The shop is closed on Sundays. Purchases of the second kind cost five times as much.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(customers):
        rare = i % 2
        gap = 45.0 if rare else 10.0
        day = float(rng.uniform(0, gap))
        while day < days:
            when = AS_OF - timedelta(days=days) + timedelta(days=day)
            if when.weekday() == 6:
                when += timedelta(days=1)
            if when < AS_OF:
                rows.append((f"c{i:03d}", when, 500.0 if rare else 100.0, f"k{rare}"))
            day += rng.gamma(9.0, gap / 9.0)
    return pl.DataFrame(rows, ["customer_id", "ts", "amount", "category"], orient="row").select(
        "customer_id", pl.col("ts").cast(pl.Datetime("us")), "amount", "category"
    )


def states() -> pl.DataFrame:
    """Return the shop's customers in two stores by their kind, and two who never bought."""
    ids = [f"c{i:03d}" for i in range(400)]
    stores = [f"s{i % 2}" for i in range(400)]
    return pl.DataFrame(
        {"customer_id": [*ids, "new-a", "new-b"], "store_id": [*stores, "s0", "unheard-of"]}
    )


@pytest.fixture(scope="module")
def tables() -> ModelInputs:
    return ModelInputs({"purchases": shop(), "customer_state": states()})


@pytest.fixture(scope="module")
def model(tables: ModelInputs) -> Hazard:
    return Hazard(SMALL).fit(tables, as_of=AS_OF, seed=1)


@pytest.fixture(scope="module")
def scores(model: Hazard, tables: ModelInputs) -> pl.DataFrame:
    return model.score(tables, as_of=AS_OF)


def test_rhythms_are_told_apart(scores: pl.DataFrame) -> None:
    bought = scores.filter(~pl.col("customer_id").str.starts_with("new"))
    often, rare = bought.gather_every(2), bought.gather_every(2, 1)
    assert often["p_purchase_14d"].mean() > 0.75
    assert rare["p_purchase_14d"].mean() < 0.45
    assert often["expected_days"].mean() < 10
    assert 12 < rare["expected_days"].mean() < 40


def test_regularity_makes_the_overdue_likely(scores: pl.DataFrame) -> None:
    """Of those who buy every 45 days, who bought yesterday will hardly buy this week."""
    rare = scores.filter(pl.col("customer_id").str.starts_with("c")).gather_every(2, 1)
    fresh, due = (
        rare.filter(pl.col("overdue_ratio") < 0.3),
        rare.filter(pl.col("overdue_ratio") > 0.9),
    )
    assert fresh["p_purchase_7d"].mean() < 0.12
    assert due["p_purchase_7d"].mean() > 3 * fresh["p_purchase_7d"].mean()


def test_curves_are_curves(scores: pl.DataFrame) -> None:
    curves = np.stack(scores["survival"].to_list())
    assert curves.shape == (402, 91)
    assert (curves[:, 0] == 1.0).all()
    assert (np.diff(curves, axis=1) <= 0).all()
    for column in (
        "p_alive",
        "p_purchase_7d",
        "p_purchase_14d",
        "p_purchase_30d",
        "p_purchase_90d",
    ):
        assert scores[column].is_between(0, 1).all(), column


def test_counts_and_money_are_those_of_the_rhythm(scores: pl.DataFrame) -> None:
    rare = scores.filter(pl.col("customer_id").str.starts_with("c")).gather_every(2, 1)
    often = scores.filter(pl.col("customer_id").str.starts_with("c")).gather_every(2)
    assert rare["expected_purchases_90d"].mean() == pytest.approx(2.0, rel=0.3)
    assert often["expected_purchases_90d"].mean() == pytest.approx(9.0, rel=0.25)
    per_purchase = rare["expected_margin_365d"] / rare["expected_purchases_365d"]
    assert per_purchase.mean() == pytest.approx(0.3 * 500, rel=0.2)


def test_newcomers_get_a_curve_of_their_own(scores: pl.DataFrame) -> None:
    new = scores.filter(pl.col("customer_id").str.starts_with("new"))
    assert new["p_purchase_30d"].is_between(0.01, 0.99).all()
    assert (new["overdue_ratio"] == 0).all()
    assert (new["expected_margin_365d"] > 0).all()


def test_any_horizon(model: Hazard, tables: ModelInputs, scores: pl.DataFrame) -> None:
    longer = model.score(tables, as_of=AS_OF, horizon_days=200)
    curves = np.stack(longer["survival"].to_list())
    assert curves.shape[1] == 201
    assert (np.diff(curves, axis=1) <= 1e-12).all()
    assert (longer["p_purchase_200d"] >= longer["p_purchase_90d"]).all()
    assert longer["p_purchase_30d"].to_list() == pytest.approx(scores["p_purchase_30d"].to_list())
    short = model.score(tables, as_of=AS_OF, horizon_days=21)
    assert "p_purchase_21d" in short.columns
    assert len(short["survival"][0]) == 22


def test_nothing_is_bought_while_the_shop_is_closed(scores: pl.DataFrame) -> None:
    """AS_OF is a Sunday: its share of the first week's hazard is next to nothing."""
    curves = np.stack(scores["survival"].to_list())
    first_week = 1 - curves[:, 7]
    assert ((1 - curves[:, 1]) / first_week).mean() < 0.06


def test_categories_keep_their_rhythm(model: Hazard, tables: ModelInputs) -> None:
    found = model.score_categories(tables, as_of=AS_OF)
    means = dict(found.group_by("category").agg(pl.col("p_purchase_14d").mean()).iter_rows())
    assert means["k0"] > means["k1"] + 0.3


def test_chunks_do_not_change_scores(tables: ModelInputs, scores: pl.DataFrame) -> None:
    chunked = Hazard(SMALL.model_copy(update={"chunk": 37, "threads": 2}))
    other = chunked.fit(tables, as_of=AS_OF, seed=1).score(tables, as_of=AS_OF)
    assert other["customer_id"].to_list() == scores["customer_id"].to_list()
    assert other["p_purchase_30d"].to_list() == pytest.approx(scores["p_purchase_30d"].to_list())


def test_the_hazard_rises_with_that_of_bg_nbd() -> None:
    """The monotone constraints hold: more of BG/NBD's hazard is never less of ours."""
    log, today = read_log(shop(), as_of=AS_OF), day_number(AS_OF)
    core = fit_core(log, today, SMALL, seed=1, threads=1)
    rows = core.builder.at(log, today).rows(1)
    at = NAMES.index("hazard_bg")
    more = rows.copy()
    more[:, at] += 0.7
    none = np.zeros(len(rows))
    for booster in core.boosters:
        low = booster.logits(rows, none, threads=1)
        assert (booster.logits(more, none, threads=1) >= low - 1e-12).all()


def test_almost_no_history_still_scores() -> None:
    few = shop(6, 40)
    model = Hazard(SMALL).fit(ModelInputs({"purchases": few}), as_of=AS_OF, seed=1)
    scores = model.score(ModelInputs({"purchases": few}), as_of=AS_OF)
    assert scores["p_purchase_90d"].is_between(0, 1).all()


def test_edges_out_of_order_are_refused() -> None:
    log = read_log(shop(20, 60), as_of=AS_OF)
    with pytest.raises(ModelError, match="out of order"):
        fit_core(log, day_number(AS_OF), CoreConfig(edges=(7, 7, 14)), seed=1, threads=1)


def test_unfitted_says_so(tables: ModelInputs) -> None:
    with pytest.raises(ModelError, match="not fitted"):
        Hazard().score(tables, as_of=AS_OF)


def test_without_categories_there_are_no_category_scores() -> None:
    lines = shop(60).drop("category")
    model = Hazard(SMALL).fit(ModelInputs({"purchases": lines}), as_of=AS_OF, seed=1)
    with pytest.raises(ModelError, match="no category curves"):
        model.score_categories(ModelInputs({"purchases": lines}), as_of=AS_OF)
