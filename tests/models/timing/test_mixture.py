"""The simple rule beside the learned curves: who answers, and that the mixture is one of both."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.models.timing.test_contract import AS_OF, purchase_log, states

from nba.models.base import ModelInputs
from nba.models.purchases import day_number, purchases_of, read_log
from nba.models.timing.boosted import BoostedConfig
from nba.models.timing.hazard import Hazard, HazardConfig, _drawn_customers
from nba.models.timing.mixture import (
    Backtest,
    Forecast,
    Mixture,
    _median_factors,
    fit_mixture,
)
from nba.models.timing.season import Season

CONFIG = HazardConfig(
    cutoff_step_days=28, threads=1, boosted=BoostedConfig(trees=20, rows_per_leaf=50)
)


@cache
def fitted() -> Hazard:
    inputs = ModelInputs({"purchases": purchase_log()})
    return Hazard(CONFIG).fit(inputs, as_of=AS_OF, seed=1)


def test_regular_rhythms_are_left_to_the_learned_curves() -> None:
    found = fitted()._customer.backtest
    assert found.share >= 0.5
    assert found.days == 90
    assert found.buyers <= found.customers
    assert fitted().figures()["backtest_log_loss"] == found.mixed
    assert "log loss" in fitted().finding()
    assert found.calibration["30d"] == pytest.approx(1.0, abs=0.3)
    often = fitted().figures()["backtest_expected_over_actual_30d_bought_5_or_more"]
    assert often == found.calibration["30d_bought_5_or_more"]


@pytest.mark.parametrize(("days", "who"), [(21, "BG/NBD"), (7, "simple rule")])
def test_three_weeks_are_left_to_what_needs_no_backtest(days: int, who: str) -> None:
    recent = purchase_log().filter(pl.col("ts") > AS_OF - timedelta(days=days))
    inputs = ModelInputs({"purchases": recent})
    model = Hazard(CONFIG).fit(inputs, as_of=AS_OF, seed=1)
    assert model.finding() == f"{days} days of history, too little for a backtest: {who}"
    assert not model._customer.core.boosters
    assert model.score(inputs, as_of=AS_OF)["p_purchase_30d"].is_between(0, 1).all()


def test_a_shop_where_nobody_bought_of_late_says_so() -> None:
    old = purchase_log().with_columns(pl.col("ts") - pl.duration(days=200))
    model = Hazard(CONFIG).fit(ModelInputs({"purchases": old}), as_of=AS_OF, seed=1)
    assert "days of history, too few buyers for a backtest: " in model.finding()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_answer_is_the_mixture_of_both(share: float) -> None:
    log = read_log(
        purchases_of(ModelInputs({"purchases": purchase_log()})),
        as_of=AS_OF,
        keys=("customer_id",),
        margin_rate=0.4,
    )
    both = fitted()._customer
    snapshot = both.core.builder.at(log, day_number(AS_OF))

    def survival(part: float) -> np.ndarray:
        mixture = Mixture(both.core, both.cells, Backtest(400, share=part))
        return mixture.forecast(log, snapshot, 120, threads=1).survival

    assert survival(share) == pytest.approx(share * survival(1.0) + (1 - share) * survival(0.0))
    assert survival(share).shape[1] == 121
    assert (np.diff(survival(share), axis=1) <= 1e-12).all()


def test_a_simple_rule_that_was_not_held_against_a_season_gets_it_put_in() -> None:
    log = read_log(
        purchases_of(ModelInputs({"purchases": purchase_log()})),
        as_of=AS_OF,
        keys=("customer_id",),
        margin_rate=0.4,
    )
    both, today = fitted()._customer, day_number(AS_OF)
    season = Season(today - 371, today, np.linspace(0.6, -0.6, 53), 1.0, 0.0)
    core = replace(both.core, season=season)
    snapshot = core.builder.at(log, today)

    def simple(knew: bool) -> Forecast:
        mixture = Mixture(core, both.cells, Backtest(400, knew_season=knew))
        return mixture.forecast(log, snapshot, 90, threads=1)

    assert (simple(False).survival[:, 90] <= simple(True).survival[:, 90]).all()
    more = simple(False).purchases_90d / simple(True).purchases_90d
    assert more == pytest.approx(np.exp(season.turn(today, 90)))
    assert season.turn(today, 90) > 0.3


def test_reading_back_keeps_the_backtest(tmp_path: Path) -> None:
    fitted().save(tmp_path / "m")
    again = Hazard.load(tmp_path / "m")
    assert isinstance(again, Hazard)
    assert again.finding() == fitted().finding()


def test_no_history_at_all() -> None:
    log = read_log(
        purchases_of(ModelInputs({"purchases": purchase_log().clear()})),
        as_of=AS_OF,
        keys=("customer_id",),
        margin_rate=0.4,
    )
    both = fit_mixture(log, day_number(datetime(2026, 3, 1)), CONFIG, seed=1, threads=1)
    assert both.backtest.sentence() == "0 days of history, too little for a backtest: simple rule"


def test_the_median_is_what_errs_least() -> None:
    rng = np.random.default_rng(1)
    expected = np.repeat([0.1, 3.0, 12.0], 2_000)
    count = rng.poisson(expected * rng.gamma(0.5, 2.0, len(expected))).astype(float)
    found = Backtest(400, median=_median_factors(expected, count))
    median = found.medians(expected)
    assert median[0] == 0.0
    for mean in (3.0, 12.0):
        mine = expected == mean
        assert median[mine][0] == pytest.approx(np.median(count[mine]), abs=0.01)
    assert np.abs(median - count).sum() < 0.9 * np.abs(expected - count).sum()
    assert Backtest(400).medians(expected) is expected


def test_medians_are_named_beside_means() -> None:
    scores = fitted().score(ModelInputs({"purchases": purchase_log()}), as_of=AS_OF)
    both = scores.select("expected_purchases_90d", "median_purchases_90d")
    assert (both["median_purchases_90d"] >= 0).all()
    assert both["median_purchases_90d"].sum() == pytest.approx(
        both["expected_purchases_90d"].sum(), rel=0.3
    )


def test_a_large_shop_is_learned_from_a_draw_of_its_customers() -> None:
    everything = ModelInputs({"purchases": purchase_log(), "customer_state": states()})
    drawn = _drawn_customers(everything, 50)
    kept = drawn["purchases"]["customer_id"].unique()
    assert 30 <= len(kept) <= 50
    own = purchase_log().filter(pl.col("customer_id").is_in(kept.implode()))
    assert drawn["purchases"].equals(own)
    assert drawn["customer_state"] is everything["customer_state"]
    assert _drawn_customers(everything, 130) is everything
