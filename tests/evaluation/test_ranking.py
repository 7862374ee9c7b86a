"""Ranking metrics against fractions worked out by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from nba.evaluation.ranking import (
    EMPTY,
    coverage,
    fold_interval,
    hits,
    novelty,
    paired_interval,
    price_fit,
    ranking_metrics,
    targets_matrix,
)

# Customer 0 buys 1, 2, 3 and is shown 1, 9, 2; customer 1 buys 4 and is shown 5, 6, nothing.
LISTS = np.array([[1, 9, 2], [5, 6, EMPTY]])
TARGETS = targets_matrix([0, 0, 0, 1], [1, 2, 3, 4], (2, 10))
HISTORY = targets_matrix([0, 0, 1], [1, 9, 7], (2, 10))


def test_hits() -> None:
    assert hits(LISTS, TARGETS).tolist() == [[1, 0, 1], [0, 0, 0]]


def test_recall_and_hit_rate() -> None:
    found = ranking_metrics(LISTS, TARGETS, cuts=(1, 3))
    assert found["recall@1"].tolist() == [float(Fraction(1, 3)), 0]
    assert found["recall@3"].tolist() == [float(Fraction(2, 3)), 0]
    assert found["hit_rate@1"].tolist() == [1, 0]


def test_ndcg_is_over_the_whole_basket() -> None:
    # Hits at places 1 and 3: 1 + 1/2. The ideal of three products: 1 + 1/log2(3) + 1/2.
    ideal = 1 + 1 / math.log2(3) + Fraction(1, 2)
    assert ranking_metrics(LISTS, TARGETS, cuts=(3,))["ndcg@3"][0] == pytest.approx(1.5 / ideal)
    # At one place the denominator stays: the ideal of the whole basket, not of one place.
    assert ranking_metrics(LISTS, TARGETS, cuts=(1,))["ndcg@1"][0] == pytest.approx(1 / ideal)


def test_repeat_and_explore_are_measured_apart() -> None:
    found = ranking_metrics(LISTS, TARGETS, HISTORY, cuts=(3,))
    assert found["repeat_recall@3"][0] == 1  # only product 1 was bought before
    assert found["explore_recall@3"].tolist() == [0.5, 0]  # 2 of {2, 3}; none of {4}
    assert math.isnan(found["repeat_recall@3"][1]), "nothing of the basket was bought before"


def test_product_zero_is_a_product_and_an_empty_place_is_not() -> None:
    targets = targets_matrix([0, 1], [0, 0], (2, 3))
    assert hits(np.array([[0], [EMPTY]]), targets).tolist() == [[1], [0]]


def test_coverage_novelty_and_price_fit() -> None:
    assert coverage(LISTS, 10) == 5 / 10
    # Shares 1/2 and 1/4: one bit and two bits.
    assert novelty(np.array([[0, 1]]), np.array([2.0, 1.0, 1.0])) == pytest.approx(1.5)
    prices = np.array([1.0, 3.5, np.nan])
    # One place within two spreads of 1, one beyond, one of unknown price.
    assert price_fit(np.array([[0, 1, 2]]), prices, np.array([1.0]), np.array([1.0])) == 0.5


def test_intervals_hold_the_mean_and_a_planted_difference() -> None:
    generator = np.random.default_rng(1)
    theirs = generator.random(2000)
    ours = theirs + 0.02 + generator.normal(0, 0.1, 2000)
    gain = paired_interval(ours, theirs, seed=2)
    assert 0 < gain.low < 0.02 < gain.high < 0.04
    alone = fold_interval(theirs, seed=3)
    assert alone.low < 0.5 < alone.high
    assert paired_interval(ours, theirs, seed=2) == gain


def test_undefined_customers_are_left_out() -> None:
    values = np.array([np.nan, 1.0, 0.0, 1.0])
    assert fold_interval(values, folds=3, seed=1).mean == pytest.approx(2 / 3)
    assert math.isnan(fold_interval(np.array([np.nan]), seed=1).mean)


def test_targets_count_once() -> None:
    twice = targets_matrix([0, 0], [1, 1], (1, 2))
    assert isinstance(twice, sp.csr_matrix)
    assert twice.toarray().tolist() == [[0, 1]]
