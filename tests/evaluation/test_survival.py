"""Survival metrics: worked by hand, and against scikit-survival."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sksurv.metrics import brier_score, concordance_index_ipcw, integrated_brier_score

from nba.evaluation.survival import (
    Outcome,
    auc,
    brier,
    concordance,
    integrated_brier,
    kaplan_meier,
    mean_days_without,
)


def drawn(seed: int, n: int = 400) -> tuple[Outcome, np.ndarray, np.ndarray]:
    """Return censored outcomes with ties, risks with ties, and sksurv's array."""
    rng = np.random.default_rng(seed)
    time = rng.integers(1, 91, n).astype(float)
    censored = rng.integers(20, 120, n).astype(float)
    event, seen = time <= censored, np.minimum(time, censored)
    risk = np.round(-time / 40 + rng.normal(size=n), 1)
    structured = np.array(
        list(zip(event, seen, strict=True)), dtype=[("event", bool), ("time", float)]
    )
    return Outcome(seen, event), risk, structured


@pytest.mark.parametrize("seed", range(4))
def test_concordance_is_that_of_scikit_survival(seed: int) -> None:
    outcome, risk, structured = drawn(seed)
    expected = concordance_index_ipcw(structured, structured, risk, tau=70)[0]
    assert concordance(outcome, risk, tau=70) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_brier_scores_are_those_of_scikit_survival(seed: int) -> None:
    outcome, risk, structured = drawn(seed)
    times = np.arange(7.0, 80.0)
    survival = np.exp(-times[None, :] / 50 * np.exp(risk)[:, None])
    expected = brier_score(structured, structured, survival, times)[1]
    assert brier(outcome, survival, times) == pytest.approx(expected, abs=1e-12)
    assert integrated_brier(outcome, survival, times) == pytest.approx(
        integrated_brier_score(structured, structured, survival, times), abs=1e-12
    )


def test_kaplan_meier_by_hand() -> None:
    outcome = Outcome(np.array([1.0, 2.0, 2.0, 3.0, 5.0]), np.array([1, 1, 0, 1, 0], bool))
    times, survival = kaplan_meier(outcome)
    assert times.tolist() == [1, 2, 3, 5]
    assert survival == pytest.approx([4 / 5, 4 / 5 * 3 / 4, 3 / 5 * 1 / 2, 3 / 5 * 1 / 2])


def test_concordance_by_hand() -> None:
    outcome = Outcome(np.array([1.0, 2.0, 3.0]), np.array([True, True, False]))
    assert concordance(outcome, np.array([3.0, 2.0, 1.0])) == 1.0
    assert concordance(outcome, np.array([1.0, 2.0, 3.0])) == 0.0
    assert concordance(outcome, np.zeros(3)) == 0.5


def test_auc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    label = rng.random(300) < 0.3
    score = np.round(rng.normal(size=300) + label, 1)
    assert auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert np.isnan(auc(np.zeros(3, bool), np.arange(3.0)))


def test_censoring_at_the_horizon() -> None:
    outcome = Outcome(np.array([5.0, 90.0, 120.0]), np.array([True, True, True])).within(90)
    assert outcome.time.tolist() == [5, 90, 90]
    assert outcome.event.tolist() == [True, True, False]


def test_mean_days_without_a_purchase() -> None:
    assert mean_days_without(np.array([[1.0, 1.0, 0.5, 0.0]])).tolist() == [2.5]
