"""Pooled effects: the posterior in closed form, widths by the evidence, what is not recorded."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from nba.models.mode.effects.contacts import not_negative
from nba.models.mode.effects.design import (
    BLOCKS,
    CENTRE,
    EFFECT_BLOCKS,
    ContactRows,
    design,
    effect_table,
)
from nba.models.mode.effects.posterior import Evidence, fit_posterior, noise_variance
from nba.models.mode.propensities.reading import fit_read_model, sent_probabilities


def linear(truth: np.ndarray, rows: int = 4000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, len(truth)))
    return x, x @ truth + rng.normal(size=rows)


def test_the_posterior_is_that_of_a_bayesian_regression() -> None:
    x, y = linear(np.array([0.5, -0.2, 0.1]))
    width = np.array([0.3])
    found = fit_posterior(
        x,
        y,
        np.ones(len(y)),
        centre=np.zeros(3),
        block=np.zeros(3, dtype=np.int64),
        width=width,
        fixed=frozenset({0}),
    )
    precision = x.T @ x / found.inflation + np.eye(3) / width[0] ** 2
    assert found.mean == pytest.approx(np.linalg.solve(precision, x.T @ y / found.inflation))
    assert found.covariance == pytest.approx(np.linalg.inv(precision))
    assert found.inflation == pytest.approx(1.0, abs=0.1)


def test_the_evidence_shrinks_a_group_without_differences_and_frees_one_with() -> None:
    truth = np.r_[np.zeros(8), np.linspace(-1, 1, 8)]
    x, y = linear(truth)
    found = fit_posterior(
        x,
        y,
        np.ones(len(y)),
        centre=np.zeros(16),
        block=np.repeat([0, 1], 8),
        width=np.array([0.3, 0.3]),
    )
    assert found.widths[0] < 0.05
    assert found.widths[1] > 0.4


def test_rows_that_are_not_independent_count_less() -> None:
    rng = np.random.default_rng(2)
    group = np.repeat(np.arange(300), 10)
    x = rng.normal(size=(300, 1))[group]
    y = rng.normal(size=300)[group]
    given = {"centre": np.zeros(1), "block": np.zeros(1, dtype=np.int64), "width": np.array([1.0])}
    alone = fit_posterior(x, y, np.ones(3000), **given)  # type: ignore[arg-type]
    joint = fit_posterior(x, y, np.ones(3000), group=group, **given)  # type: ignore[arg-type]
    assert joint.covariance[0, 0] > 5 * alone.covariance[0, 0]


def test_the_log_evidence_is_the_density_of_the_data() -> None:
    from scipy.stats import multivariate_normal

    x, y = linear(np.array([0.3, 0.0]), rows=12)
    width = np.array([0.5, 0.2])
    exact = [
        multivariate_normal.logpdf(y, cov=np.eye(12) + (x * w**2) @ x.T) for w in (width, 2 * width)
    ]
    ours = [Evidence.of(x, y, np.ones(12)).log_evidence(w) for w in (width, 2 * width)]
    assert ours[1] - ours[0] == pytest.approx(exact[1] - exact[0])


def test_noise_grows_with_size() -> None:
    rng = np.random.default_rng(3)
    size = rng.lognormal(size=20_000)
    variance = noise_variance(rng.normal(size=20_000) * size, size)
    order = np.argsort(size)
    assert (np.diff(variance[order]) >= -1e-12).all()
    middle = order[5000:15_000]
    assert np.median(variance[middle] / size[middle] ** 2) == pytest.approx(1.0, abs=0.15)
    assert noise_variance(np.zeros(0), np.zeros(0)).shape == (0,)


def test_beliefs_that_are_far_from_zero_stay_and_negative_ones_come_up_to_it() -> None:
    mean, variance = not_negative(np.array([8.0, 0.0, -50.0]), np.ones(3))
    assert mean[0] == pytest.approx(8.0)
    assert 0 < mean[2] < 0.05
    assert (variance <= 1.0).all()


def test_reading_counts_where_it_is_recorded_and_sending_elsewhere() -> None:
    rng = np.random.default_rng(4)
    arm = rng.integers(0, 4, 4000)
    x = rng.normal(size=(4000, 2))
    read = (rng.uniform(size=4000) < 1 / (1 + np.exp(-x[:, 0]))) & (arm > 0)
    rows = pl.DataFrame({"sent": arm > 0, "is_read": read})
    read_model, is_read = fit_read_model(rows, x, arm)
    assert (is_read == read).all()
    found = read_model.probability(x)
    assert found.shape == (4000, 3)
    assert np.corrcoef(found[:, 0], x[:, 0])[0, 1] > 0.9
    nothing, sent = fit_read_model(rows.with_columns(is_read=pl.lit(False)), x, arm)
    assert not nothing.is_recorded
    assert (nothing.probability(x) == 1).all()
    assert (sent == (arm > 0)).all()


def test_the_chance_of_being_sent_is_learned_from_what_was_listed() -> None:
    rng = np.random.default_rng(5)
    arm = rng.integers(0, 4, 3000)
    sent = (arm > 0) & (rng.uniform(size=3000) < 0.6)
    rows = pl.DataFrame(
        {
            "mode": np.array(["none", "shopping_assistant", "topic_expert", "private_partner"])[
                arm
            ],
            "sent": sent,
            "customer_id": [f"c{i}" for i in range(3000)],
            "propensity": np.full(3000, 0.25),
        }
    )
    propensity = sent_probabilities(rows, rng.normal(size=(3000, 2)), arm, folds=3, seed=1)
    assert propensity.mean() == pytest.approx(0.6, abs=0.05)
    assert (
        sent_probabilities(rows.drop("sent"), np.zeros((3000, 1)), arm, folds=3, seed=1) == 1
    ).all()


def test_the_design_counts_what_reached_the_customer() -> None:
    contacts = ContactRows(
        arm=np.array([0, 2, 2, 3]),
        propensity=np.tile([0.4, 0.2, 0.2, 0.2], (4, 1)),
        is_read=np.array([0.0, 1.0, 0.0, 1.0]),
        p_read=np.full((4, 3), 0.5),
        known=np.ones(4),
        is_history=np.array([0.0, 0.0, 1.0, 1.0]),
        kind=np.array([0, 1, 1, 2]),
        tier=np.array([2, 2, 2, 2]),
        base=np.full(4, 0.3),
        modifiers=np.zeros((4, 2)),
    )
    table = effect_table(np.full((3, 5, 3), 0.1), 0.1)
    found = design(contacts, table, 0.1, unknown_share=0.5, powers=(1.0, 1.0))
    assert found.shape == (4, len(BLOCKS)) == (4, len(CENTRE))
    # the scale: sum over modes of (is_read - .2 x .5) x base x share
    expected = np.array([-0.3, 0.7, -0.3, 0.7]) * 0.3 * 0.1
    assert found[:, 0] == pytest.approx(expected)
    # only history has a choice to allow for
    assert (found[:2, len(EFFECT_BLOCKS) : len(EFFECT_BLOCKS) + 7] == 0).all()
    assert found[2, len(EFFECT_BLOCKS)] == pytest.approx((1 - 0.6) * 0.3 * 0.1)
