"""Boosted trees for outcomes and effects; LightGBM is imported when the first tree grows."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from nba.arrays import Floats, Ints

OUTCOME_TREES: dict[str, Any] = {"num_leaves": 12, "learning_rate": 0.06, "lambda_l2": 5.0}
OUTCOME_ROUNDS = 100
EFFECT_TREES: dict[str, Any] = {"num_leaves": 6, "learning_rate": 0.06, "lambda_l2": 20.0}
EFFECT_ROUNDS = (10, 25, 50, 100)


#: Below so many rows one thread is faster than the start of several, most of all on busy cores.
SERIAL_ROWS = 100_000


def threads_for(rows: int) -> int:
    """Return LightGBM's `num_threads`: one for small work, else its default."""
    return 1 if rows < SERIAL_ROWS else 0


def predict(booster: Any, x: Floats, **more: Any) -> Floats:
    """Return a booster's predictions for `x`."""
    if not len(x):
        return np.zeros(0)
    return np.asarray(booster.predict(x, num_threads=threads_for(len(x)), **more))


def grow(x: Floats, target: Floats, parameters: dict[str, Any], rounds: int, seed: int) -> Any:
    """Return a LightGBM booster of `rounds` trees for a squared loss.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns), NaN where not known.
    target : array of float
        Shape (rows,).
    parameters : dict of str to object
        Of LightGBM, over the defaults.
    rounds : int
        Trees.
    seed : int
    """
    import lightgbm

    smallest = int(np.clip(len(x) // 60, 10, 500))
    settings = {
        "objective": "regression",
        "min_data_in_leaf": smallest,
        "feature_fraction": 0.8,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
        "max_bin": 63,
        "num_threads": threads_for(len(x)),
    }
    data = lightgbm.Dataset(x, target, free_raw_data=True)
    return lightgbm.train({**settings, **parameters}, data, num_boost_round=rounds)


def grow_outcome(x: Floats, arm: Ints, arms: int, outcome: Floats, seed: int) -> Any:
    """Return trees for the outcome over the columns and flags of the arm.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns).
    arm, arms : array of int, int
        Shape (rows,), and how many there are.
    outcome : array of float
        Shape (rows,).
    seed : int
    """
    return grow(_with_arm(x, arm, arms), outcome, OUTCOME_TREES, OUTCOME_ROUNDS, seed)


def only_trees_with(booster: Any, columns: set[int]) -> Any:
    """Return a booster of those trees alone that split on one of `columns`.

    Trees that never ask for the arm say the same under every arm: in a contrast they cancel, and
    scoring without them is several times faster.
    """
    import lightgbm

    head, *blocks = re.split(r"(?m)^Tree=\d+\n", booster.model_to_string())
    last, end, tail = blocks[-1].partition("end of trees")
    blocks[-1] = last
    asked = [block for block in blocks if _splits(block) & columns] or blocks[:1]
    head = re.sub(r"(?m)^tree_sizes=.*\n", "", head)
    trees = "".join(f"Tree={i}\n{block}" for i, block in enumerate(asked))
    return lightgbm.Booster(model_str=head + trees + end + tail)


def _splits(block: str) -> set[int]:
    line = re.search(r"(?m)^split_feature=(.*)$", block)
    return {int(column) for column in line.group(1).split()} if line else set()


def outcomes_under(booster: Any, x: Floats, arm: int, arms: int) -> Floats:
    """Return the outcome expected by `grow_outcome` trees had every row been given `arm`.

    Parameters
    ----------
    booster : object
        From `grow_outcome`.
    x : array of float
        Shape (rows, columns).
    arm, arms : int
        The arm asked about, and how many there are.
    """
    return predict(booster, _with_arm(x, np.full(len(x), arm), arms))


def outcome_path(
    x: Floats, arm: Ints, arms: int, outcome: Floats, *, fold: Ints, folds: int, seed: int
) -> Floats:
    """Return expected outcomes of every row under every arm, by trees that did not see its fold.

    Without enough rows for trees, the overall mean.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns).
    arm, arms : array of int, int
        Shape (rows,), and how many there are.
    outcome : array of float
        Shape (rows,).
    fold, folds : array of int, int
        Shape (rows,), and how many there are.
    seed : int
    """
    held_out = np.full((len(x), arms), outcome.mean() if len(outcome) else 0.0)
    for number in range(folds):
        rest, rows = fold != number, fold == number
        if rest.sum() < 100 or not rows.any():
            continue
        booster = grow_outcome(x[rest], arm[rest], arms, outcome[rest], seed)
        for k in range(arms):
            held_out[rows, k] = outcomes_under(booster, x[rows], k, arms)
    return held_out


def _with_arm(x: Floats, arm: Ints, arms: int) -> Floats:
    return np.hstack([x, np.eye(arms)[arm]])


def effect_path(x: Floats, target: Floats, fold: Ints, folds: int, seed: int) -> tuple[Floats, int]:
    """Return held-out effects at the best number of rounds, and that number.

    Parameters
    ----------
    x : array of float
        Shape (rows, columns).
    target : array of float
        Shape (rows,): a noisy effect of each row.
    fold, folds : array of int, int
        Shape (rows,), and how many there are.
    seed : int
    """
    held_out = np.zeros((len(EFFECT_ROUNDS), len(x)))
    for number in range(folds):
        rest, rows = fold != number, fold == number
        if not rows.any():
            continue
        booster = grow(x[rest], target[rest], EFFECT_TREES, EFFECT_ROUNDS[-1], seed)
        for i, rounds in enumerate(EFFECT_ROUNDS):
            held_out[i, rows] = predict(booster, x[rows], num_iteration=rounds)
    errors = np.square(held_out - target).sum(axis=1)
    best = int(errors.argmin())
    return held_out[best], EFFECT_ROUNDS[best]
