"""The doubly robust learner on planted worlds: it recovers effects, and never invents them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nba.models.mode.doubly_robust.learner import learn
from nba.models.mode.doubly_robust.nuisance import LearnerConfig, Sample, folds_of
from nba.models.mode.estimators import trees
from nba.models.mode.estimators.linear import Basis, ridge_path

Planted = Callable[..., Any]


def advantage(planted: Planted, kind: str, rows: int, seed: int) -> tuple[float, float, float]:
    """Return what the policy adds to the best single arm, the most possible, the arm's effect."""
    x, arm, outcome, _ = planted(kind, rows, seed)
    learned = learn(Sample(x, arm, outcome), 3, seed=seed)
    fresh, _, _, mean = planted(kind, 20_000, seed + 1)
    value = mean[np.arange(len(mean)), learned.choose(fresh)].mean()
    single = mean.mean(axis=0)
    gained = float(value - single[learned.reference])
    best = float(mean.max(axis=1).mean() - single.max())
    return gained, best, float(single.max() - single[0])


def test_planted_effects_are_found(planted: Planted) -> None:
    gained, best, _ = advantage(planted, "step", 12_000, 1)
    assert gained > 0.6 * best


def test_without_heterogeneity_the_best_single_arm_stays(planted: Planted) -> None:
    gained, _, effect = advantage(planted, "none", 6_000, 2)
    assert gained > -0.01 * effect


@pytest.mark.proof
def test_never_worse_than_simple_on_20_worlds(planted: Planted) -> None:
    lost = []
    for seed in range(20):
        gained, _, effect = advantage(planted, "none", 8_000, 100 + seed)
        lost.append(gained / effect)
    print(f"20 worlds without heterogeneity: worst {min(lost):+.4f} of the effect")
    assert min(lost) >= -0.01


def test_effects_are_calibrated_in_units_of_the_outcome(planted: Planted) -> None:
    x, arm, outcome, _ = planted("linear", 20_000, 3)
    learned = learn(Sample(x, arm, outcome), 3, seed=3)
    fresh, _, _, mean = planted("linear", 20_000, 4)
    guess, truth = learned.effects(fresh), mean - mean[:, [0]]
    assert guess[:, 1:].mean(axis=0) == pytest.approx(truth[:, 1:].mean(axis=0), abs=0.02)
    gap, true_gap = guess[:, 2] - guess[:, 1], truth[:, 2] - truth[:, 1]
    assert 0.7 < np.polyfit(gap, true_gap, 1)[0] < 1.3


def test_confounded_logs_are_corrected() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(20_000, 2))
    chance = 1 / (1 + np.exp(-1.5 * x[:, 0]))
    arm = (rng.uniform(size=len(x)) < chance).astype(np.int64)
    outcome = 2 * x[:, 0] + 0.5 * arm + rng.normal(size=len(x))
    naive = outcome[arm == 1].mean() - outcome[arm == 0].mean()
    learned = learn(Sample(x, arm, outcome), 2, seed=8)
    assert learned.nuisance is not None
    assert learned.nuisance.propensity_model == "multinomial logistic"
    assert naive > 2
    assert learned.effects(x)[:, 1].mean() == pytest.approx(0.5, abs=0.1)


def test_an_arm_without_overlap_is_refused_and_never_chosen() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(1000, 2))
    arm = rng.integers(0, 2, 1000)
    arm[:5] = 2
    outcome = rng.normal(size=1000) + 10.0 * (arm == 2)
    learned = learn(Sample(x, arm, outcome), 3, seed=9)
    assert learned.open_arms == (0, 1)
    assert not (learned.choose(x) == 2).any()
    assert learned.nuisance is not None
    assert "effective sample size 5" in learned.nuisance.overlap[2].refused


def test_costs_move_the_choice(planted: Planted) -> None:
    x, arm, outcome, _ = planted("none", 4_000, 5)
    free = learn(Sample(x, arm, outcome), 3, seed=5)
    dear = learn(Sample(x, arm, outcome), 3, seed=5, cost=np.array([0.0, 0.3, 0.3]))
    assert free.reference == 2
    assert (dear.choose(x) == 0).all()


@pytest.mark.parametrize("rows", [12, 60, 150])
def test_few_rows_missing_values_and_constants_are_fine(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, 4))
    x[:, 1] = 3.0
    x[rng.uniform(size=rows) < 0.3, 2] = np.nan
    x[:, 3] = np.nan
    learned = learn(Sample(x, rng.integers(0, 2, rows), rng.normal(size=rows)), 2, seed=1)
    assert np.isfinite(learned.effects(x)).all()


def test_trees_without_the_arm_cancel_in_contrasts(planted: Planted) -> None:
    x, arm, outcome, _ = planted("step", 3000, 6)
    whole = trees.grow_outcome(x, arm, 3, outcome, 6)
    part = trees.only_trees_with(whole, {9, 10, 11})
    assert 0 < part.num_trees() < whole.num_trees()
    under = [
        [trees.outcomes_under(booster, x, one, 3) for one in range(3)] for booster in (whole, part)
    ]
    for one in (1, 2):
        gaps = [values[one] - values[0] for values in under]
        assert gaps[0] == pytest.approx(gaps[1], abs=1e-12)


def test_groups_share_a_fold() -> None:
    group = np.repeat(np.arange(30), 5)
    fold = folds_of(150, 5, 1, group, np.zeros(150, dtype=np.int64))
    assert all(len(set(fold[group == g])) == 1 for g in range(30))


def test_the_ridge_equals_the_textbook_formula() -> None:
    rng = np.random.default_rng(4)
    x, fold = rng.normal(size=(300, 3)), np.arange(300) % 5
    y = x @ np.array([[1.0], [0.0], [-2.0]]) + rng.normal(size=(300, 1))
    path = ridge_path(x, y, fold, 5)
    rest = fold != 0
    centred, level = x[rest] - x[rest].mean(axis=0), y[rest] - y[rest].mean(axis=0)
    errors = []
    for penalty in np.logspace(-3.5, 2.0, 12):
        gram = centred.T @ centred / rest.sum() + penalty * np.eye(3)
        errors.append(np.linalg.solve(gram, centred.T @ level / rest.sum()))
    gap = min(float(np.abs(one - path.coefficients[0]).max()) for one in errors)
    assert gap < 1e-9


def test_the_basis_bends_and_flags_missing_values() -> None:
    x = np.c_[np.arange(100.0), np.where(np.arange(100) % 2 == 0, np.nan, 1.0)]
    basis = Basis.fit(x)
    assert basis.hinge[:, 0].tolist() == [0.0] * 4
    assert basis.flag.tolist() == [1]
    terms = basis.transform(x)
    assert terms.shape == (100, 2 + 4 + 1)
    assert terms.std(axis=0)[[0, 6]] == pytest.approx([1.0, 1.0])


def test_a_long_tail_of_money_does_not_hide_effects(planted: Planted) -> None:
    x, arm, bought, _ = planted("step", 12_000, 12, size=0.05)
    money = bought * np.exp(3 + np.random.default_rng(1).normal(size=len(x)))
    learned = learn(Sample(x, arm, money), 3, seed=12)
    fresh, _, _, mean = planted("step", 20_000, 13, size=0.05)
    single = mean.mean(axis=0)
    value = mean[np.arange(len(mean)), learned.choose(fresh)].mean() - single[learned.reference]
    assert value > 0.5 * (mean.max(axis=1).mean() - single.max())


def test_the_config_refuses_unknown_keys() -> None:
    with pytest.raises(ValueError, match="folds"):
        LearnerConfig(folds=1)
