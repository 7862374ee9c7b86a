"""Differences between arms: hand-worked, against scipy, and over clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nba.evaluation.arm_effects import adjusted, difference, relative, sample_ratio, shrunk


def arms(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    before = rng.gamma(2.0, 50.0, rows)
    treated = rng.random(rows) < 0.6
    return before, treated, before + rng.normal(0, 20, rows) + 5.0 * treated


def test_a_difference_is_welch_without_clusters() -> None:
    _, treated, y = arms(1)
    effect = difference(y, treated)
    welch = stats.ttest_ind(y[treated], y[~treated], equal_var=False).confidence_interval(0.95)
    assert effect.lower == pytest.approx(welch.low, rel=1e-3)
    assert effect.upper == pytest.approx(welch.high, rel=1e-3)


def test_rows_of_one_cluster_count_once() -> None:
    _, treated, y = arms(2, 60)
    once = difference(y, treated)
    thrice = difference(np.repeat(y, 3), np.repeat(treated, 3), cluster=np.repeat(np.arange(60), 3))
    assert thrice.estimate == pytest.approx(once.estimate)
    assert thrice.standard_error == pytest.approx(once.standard_error)


def test_what_was_known_before_takes_noise_away() -> None:
    before, treated, y = arms(3)
    plain, better = difference(y, treated), difference(y, treated, covariates=before[:, None])
    assert better.standard_error < plain.standard_error / 2
    assert better.lower < 5.0 < better.upper


def test_the_adjusted_difference_is_that_of_a_regression_on_arm_and_past() -> None:
    """The coefficient of the arm in least squares on arm and covariates (Deng et al. 2013)."""
    import statsmodels.api as sm

    before, treated, y = arms(5)
    known = np.column_stack([before, np.sqrt(before)])
    fitted = sm.OLS(y, np.column_stack([np.ones(len(y)), treated, known])).fit(cov_type="HC1")
    effect = difference(y, treated, covariates=known)
    assert effect.estimate == pytest.approx(fitted.params[1])
    assert effect.standard_error == pytest.approx(fitted.bse[1], rel=0.02)


def test_adjusting_keeps_the_mean_and_survives_a_constant() -> None:
    before, treated, y = arms(4)
    covariates = np.column_stack([before, np.ones(len(y))])
    assert adjusted(y, treated, covariates).mean() == pytest.approx(y.mean())


def test_weights_make_one_arm_stand_for_the_other() -> None:
    y = np.array([10.0, 20.0, 1.0, 2.0])
    treated = np.array([True, True, False, False])
    effect = difference(y, treated, weight=np.array([1.0, 1.0, 1.0, 3.0]))
    assert effect.estimate == pytest.approx(15.0 - 7.0 / 4.0)


def test_a_relative_change_is_the_ratio_of_ratios() -> None:
    orders, buyers = np.array([2.0, 4.0, 1.0, 3.0]), np.array([1.0, 1.0, 1.0, 1.0])
    weights = np.array([1.0, 1.0, 0, 0]), np.array([0, 0, 1.0, 1.0])
    effect = relative(orders, buyers, *weights)
    assert effect.estimate == pytest.approx(3.0 / 2.0 - 1.0)
    assert effect.lower < 0.5 < effect.upper


def test_an_arm_of_nobody_has_no_interval() -> None:
    effect = difference(np.ones(3), np.array([True, True, True]))
    assert np.isnan(effect.estimate)
    assert not effect.proven


def test_groups_that_differ_by_chance_are_pulled_together() -> None:
    rng = np.random.default_rng(5)
    error = np.full(30, 2.0)
    size = np.ones(30)
    noise, _ = shrunk(10 + rng.normal(0, 2.0, 30), error, size)
    apart, _ = shrunk(10 + rng.normal(0, 40.0, 30), error, size)
    assert noise.std() < 1.0
    assert apart.std() > 20.0


def test_shares_that_cannot_be_chance_are_seen() -> None:
    shares = {"engine": 0.9, "holdout": 0.1, "random": 0.0}
    assert sample_ratio({"engine": 900, "holdout": 100}, shares) == pytest.approx(1.0)
    assert sample_ratio({"engine": 900, "holdout": 160}, shares) < 0.001
