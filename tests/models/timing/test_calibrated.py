"""Factors on the hazard from a backtest: known ratios are found, few buyers change little."""

from __future__ import annotations

import numpy as np
import pytest

from nba.arrays import Floats, Ints
from nba.models.timing.calibrated import Corrected, buyers_by_period, corrected_by, kind_of

ENDS = (7, 30, 90)


def curves(rate: Floats) -> Floats:
    """Return curves of a constant hazard per day."""
    return np.exp(-rate[:, None] * np.arange(91))


def days_until(rate: Floats, seed: int) -> Ints:
    drawn = np.random.default_rng(seed).exponential(1.0 / rate)
    return np.ceil(drawn).astype(np.int64)


def test_kinds_are_once_a_few_times_and_often() -> None:
    assert kind_of(np.array([1, 2, 4, 5, 80])).tolist() == [0, 1, 1, 2, 2]


def test_a_kind_that_comes_more_often_than_the_others_is_raised() -> None:
    count = np.repeat([1, 3, 9], 20_000)
    believed = np.full(len(count), 0.01)
    true = np.where(count == 9, 0.015, 0.01)
    time = days_until(true, seed=1)
    event, time = time <= 90, np.minimum(time, 90)
    expected, came = buyers_by_period(curves(believed), time, event, count, ENDS)
    assert came[2].sum() / expected[2].sum() == pytest.approx(1.5, rel=0.03)
    corrected = corrected_by(expected, came, ENDS)
    level = (came.sum() / expected.sum()) ** 0.25
    for kind, ratio in ((0, 1.0), (2, 1.5)):
        of_all = came.sum() / expected.sum()
        assert corrected.factors[kind][1] == pytest.approx(level * ratio / of_all, rel=0.05)
    after = corrected.survival(curves(believed), count)
    assert (np.diff(after, axis=1) < 0).all()
    assert after[-1, 30] < after[0, 30]


def test_few_buyers_change_little_and_none_nothing() -> None:
    count, rate = np.array([1, 3, 9]), np.full(3, 0.01)
    event = np.array([False, False, True])
    found = buyers_by_period(curves(rate), np.array([90, 90, 3]), event, count, ENDS)
    factors = np.array(corrected_by(*found, ENDS).factors)
    assert factors == pytest.approx(1.0, abs=0.03)
    assert np.array_equal(Corrected().survival(curves(rate), count), curves(rate))


def test_the_last_factor_goes_on_beyond_the_backtest() -> None:
    corrected = Corrected((7, 14), ((1.0, 2.0), (1.0, 1.0), (1.0, 1.0)))
    after = corrected.survival(curves(np.full(1, 0.01)), np.ones(1))
    assert -np.log(after[0, 90]) == pytest.approx(0.07 + 0.02 * 83)
