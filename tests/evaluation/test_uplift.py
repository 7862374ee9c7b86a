"""Uplift curves and calibration on hand-worked and planted rows."""

import numpy as np
import pytest

from nba.evaluation.off_policy import Log, row_scores
from nba.evaluation.uplift import calibration, multi_arm_uplift, rank_share, uplift_curve


def test_hand_worked_areas() -> None:
    # ranks 1/8, 3/8, 5/8, 7/8 from the top; AUUC = (7*4 + 5*2 + 3*0 + 1*(-2)) / 8 / 4
    curve = uplift_curve(np.array([4.0, 3.0, 2.0, 1.0]), np.array([4.0, 2.0, 0.0, -2.0]))
    assert curve.auuc == pytest.approx(36 / 32)
    assert curve.qini == pytest.approx(36 / 32 - 1 / 2)  # the line ends at a mean gain of 1
    assert curve.gain[[0, 25, 50, 100]].tolist() == [0.0, 1.0, 1.5, 1.0]


def test_a_constant_score_has_no_qini_even_with_fold_intercepts() -> None:
    rng = np.random.default_rng(1)
    fold = np.repeat(np.arange(10), 100)
    gain = rng.normal(size=1000) + 0.2 * fold
    intercept = fold.astype(float)
    assert uplift_curve(intercept, gain, fold=fold).qini == pytest.approx(0, abs=1e-12)
    pooled = uplift_curve(intercept, gain)
    assert abs(pooled.qini) > 5 * pooled.qini_error  # pooled, the trap


def test_ties_share_their_rank() -> None:
    assert rank_share(np.array([1.0, 1.0, 5.0])).tolist() == pytest.approx([2 / 3, 2 / 3, 1 / 6])


def test_several_arms_use_the_best_arm_of_each_customer() -> None:
    effect = np.array([[0.0, 2.0, 1.0], [0.0, 1.0, 3.0]])
    scores = np.array([[1.0, 3.0, 9.0], [1.0, 9.0, 4.0]])
    curve = multi_arm_uplift(effect, scores)
    assert curve.gain[-1] == pytest.approx((2 + 3) / 2)
    assert curve.auuc == pytest.approx((0.75 * 3 + 0.25 * 2) / 2)


def test_calibration_recovers_a_planted_slope() -> None:
    rng = np.random.default_rng(5)
    rows = 40_000
    effect = rng.normal(0.1, 0.2, rows)
    arm = rng.integers(0, 2, rows)
    outcome = 1 + arm * effect + rng.normal(0, 0.5, rows)
    scores = row_scores(Log(arm, outcome, np.full(rows, 0.5)), 2, np.ones((rows, 2)))
    report = calibration(2 * effect, scores[:, 1] - scores[:, 0])
    assert report.slope == pytest.approx(0.5, abs=0.05)
    assert report.t > 6
    assert report.deciles["rows"].sum() == rows
    assert report.deciles["predicted"].is_sorted()


def test_a_constant_prediction_has_no_slope() -> None:
    report = calibration(np.ones(50), np.arange(50.0))
    assert (report.slope, report.t) == (0.0, 0.0)
