"""Calibration error, reliability and lift, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nba.evaluation.calibration import calibration_error, lift, reliability


def test_perfect_calibration_has_no_error() -> None:
    probability = np.repeat([0.25, 0.75], 4)
    happened = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    assert calibration_error(probability, happened, bins=2) == 0.0


def test_error_is_the_weighted_distance() -> None:
    probability = np.repeat([0.5, 0.5], 5)
    happened = np.zeros(10, bool)
    assert calibration_error(probability, happened, bins=3) == pytest.approx(0.5)


def test_groups_are_of_equal_size_and_in_order() -> None:
    probability = np.linspace(0, 1, 10)
    table = reliability(probability, probability > 0.5, bins=5)
    assert table["customers"].to_list() == [2] * 5
    assert table["observed"].to_list() == [0, 0, 0.5, 1, 1] or table["observed"].is_sorted()
    assert table["predicted"].is_sorted()


def test_nobody_has_no_calibration() -> None:
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_lift_of_the_best_tenth() -> None:
    happened = np.zeros(100, bool)
    happened[:10] = True
    assert lift(np.arange(100.0)[::-1], happened).tolist() == [10.0]
