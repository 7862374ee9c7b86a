"""How likely each arm was: estimated where it was not logged, and whether arms overlap.

A multinomial logistic and boosted trees are tried against constant shares, all cross-fitted; the
constant shares stay unless another predicts the arms measurably better. Under randomisation
they do, and nothing is estimated from noise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.mode.estimators.trees import predict, threads_for

#: A propensity model must beat constant shares by this many standard errors of log loss.
PROOF_Z: Final = 3.0
#: Rows on which the models race; the winner is then fitted on all.
RACE_ROWS: Final = 20_000
CONSTANT: Final = "constant shares"
LOGISTIC: Final = "multinomial logistic"
TREES: Final = "boosted trees"


@dataclass(frozen=True)
class Propensities:
    """Cross-fitted probabilities of every arm, shape (rows, arms), and the model behind them."""

    values: Floats
    model: str


@dataclass(frozen=True)
class ArmOverlap:
    """Whether one arm can be compared with the others.

    `effective_rows` is the arm's effective sample size under inverse weights, `trimmed_share` the
    share of all rows whose propensity for the arm lies under the floor. `refused` says why the
    arm is not learned, and is empty when it is.
    """

    arm: int
    rows: int
    effective_rows: float
    smallest: float
    trimmed_share: float
    refused: str


def estimate_propensities(
    terms: Floats, x: Floats, arm: Ints, arms: int, *, fold: Ints, folds: int, seed: int
) -> Propensities:
    """Estimate the probability of each arm by models that did not see the row.

    Parameters
    ----------
    terms, x : arrays of shape (rows, ...)
        Standardised terms for the logistic, raw columns for the trees.
    arm : int array of shape (rows,)
    fold : int array of shape (rows,)
    """
    race = np.sort(np.random.default_rng(seed).permutation(len(arm))[:RACE_ROWS])
    best = _race(terms[race], x[race], arm[race], arms, fold=fold[race], folds=folds, seed=seed)
    if best == CONSTANT:
        share = np.bincount(arm, minlength=arms) / max(len(arm), 1)
        return Propensities(np.tile(share, (len(arm), 1)), best)
    return Propensities(
        _cross_fitted(best, terms, x, arm, arms, fold=fold, folds=folds, seed=seed), best
    )


def tree_propensities(
    x: Floats, arm: Ints, arms: int, *, fold: Ints, folds: int, seed: int
) -> Floats:
    """Return the probability of every arm by boosted trees that did not see the row.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns).
    arm, arms : array of int, int
        Shape (rows,), and how many there are.
    fold, folds : array of int, int
        Shape (rows,), and how many there are.
    seed : int
    """
    return _cross_fitted(TREES, x, x, arm, arms, fold=fold, folds=folds, seed=seed)


def _race(
    terms: Floats, x: Floats, arm: Ints, arms: int, *, fold: Ints, folds: int, seed: int
) -> str:
    """Return the name of the model that predicts arms best, constant shares unless beaten."""
    tried = {
        name: _cross_fitted(name, terms, x, arm, arms, fold=fold, folds=folds, seed=seed)
        for name in (CONSTANT, LOGISTIC, TREES)
    }
    rows = np.arange(len(arm))
    loss = {name: -np.log(np.maximum(p[rows, arm], 1e-6)) for name, p in tried.items()}
    best = CONSTANT
    for name in (LOGISTIC, TREES):
        gap = loss[best] - loss[name]
        error = gap.std() / np.sqrt(max(len(gap), 1))
        if error > 0 and gap.mean() / error > PROOF_Z:
            best = name
    return best


def overlap(
    arm: Ints, arms: int, drawn: Floats, full: Floats | None, *, floor: float, min_rows: int
) -> list[ArmOverlap]:
    """Check each arm's overlap.

    Parameters
    ----------
    drawn : array of shape (rows,)
        Propensity of the arm that was drawn.
    full : array of shape (rows, arms) or None
        Propensities of all arms where they are known (estimated, or constant).
    floor : float
        Propensities below are trimmed.
    min_rows : int
        An arm with a smaller effective sample size is refused.
    """
    return [
        _arm_overlap(code, arm, drawn, full, floor=floor, min_rows=min_rows) for code in range(arms)
    ]


def _arm_overlap(
    code: int, arm: Ints, drawn: Floats, full: Floats | None, *, floor: float, min_rows: int
) -> ArmOverlap:
    mine = arm == code
    own = drawn[mine]
    weight = 1.0 / np.maximum(own, floor)
    effective = float(weight.sum() ** 2 / np.square(weight).sum()) if mine.any() else 0.0
    everyone = own if full is None else full[:, code]
    trimmed = float((everyone < floor).mean()) if len(everyone) else 1.0
    refused = ""
    if effective < min_rows:
        refused = f"effective sample size {effective:.0f} < {min_rows}"
    elif trimmed > 0.5:
        refused = f"propensity under {floor:g} for {trimmed:.0%} of the rows"
    smallest = float(everyone.min()) if len(everyone) else 0.0
    return ArmOverlap(code, int(mine.sum()), effective, smallest, trimmed, refused)


def _cross_fitted(
    name: str, terms: Floats, x: Floats, arm: Ints, arms: int, *, fold: Ints, folds: int, seed: int
) -> Floats:
    values = np.zeros((len(arm), arms))
    for number in range(folds):
        rest, rows = fold != number, fold == number
        if not rows.any():
            continue
        share = (np.bincount(arm[rest], minlength=arms) + 1.0) / (rest.sum() + arms)
        values[rows] = share
        present = np.unique(arm[rest])
        if name == CONSTANT or len(present) < 2:
            continue
        model = _logistic(terms[rest], arm[rest]) if name == LOGISTIC else None
        if model is not None:
            guess = model.predict_proba(terms[rows])
        else:
            guess = _tree_classes(x[rest], arm[rest], x[rows], present, seed)
        values[np.ix_(rows, present)] = guess * share[present].sum()
    return values


def _logistic(terms: Floats, arm: Ints) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.05, max_iter=200, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a rough fit only loses the race
        return model.fit(terms, arm)


def _tree_classes(x: Floats, arm: Ints, at: Floats, present: Ints, seed: int) -> Floats:
    import lightgbm

    settings = {
        "objective": "multiclass",
        "num_class": len(present),
        "num_leaves": 8,
        "learning_rate": 0.08,
        "min_data_in_leaf": int(np.clip(len(x) // 50, 10, 500)),
        "lambda_l2": 5.0,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
        "max_bin": 63,
        "num_threads": threads_for(len(x)),
    }
    data = lightgbm.Dataset(x, np.searchsorted(present, arm))
    booster = lightgbm.train(settings, data, num_boost_round=40)
    guess = predict(booster, at)
    return guess.reshape(len(at), len(present))
