"""What a user would pick instead: S-, T- and X-learner, causal forest, policy tree.

Each takes a sample and returns a function from a matrix to the expected value of every arm,
shape (rows, arms), up to a constant per row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.mode.doubly_robust.nuisance import Sample
from nba.models.mode.estimators.trees import grow, predict

Values = Callable[[Floats], Floats]
Baseline = Callable[[Sample, int, Floats, int], Values]

#: ModifierMeans settings, not tuned: what the libraries' tutorials grow.
TREES: Final[dict[str, Any]] = {"num_leaves": 31, "learning_rate": 0.05, "lambda_l2": 0.0}
ROUNDS: Final = 100
#: The causal forest grows on at most so many rows.
FOREST_ROWS: Final = 20_000
POLICY_TREE_CUTS: Final = 12


def s_learner(sample: Sample, arms: int, scores: Floats, seed: int) -> Values:
    """One outcome model with the arm as columns.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many, arm 0 being the control.
    scores : array of float
        Not read: an outcome model needs none.
    seed : int
    """

    def at(x: Floats, arm: Ints) -> Floats:
        return np.hstack([x, np.eye(arms)[arm]])

    model = grow(at(sample.x, sample.arm), sample.outcome, TREES, ROUNDS, seed)
    return lambda x: np.column_stack(
        [predict(model, at(x, np.full(len(x), code))) for code in range(arms)]
    )


def t_learner(sample: Sample, arms: int, scores: Floats, seed: int) -> Values:
    """One outcome model per arm.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many, arm 0 being the control.
    scores : array of float
        Not read: outcome models need none.
    seed : int
    """
    models = _per_arm(sample, arms, seed)
    return lambda x: np.column_stack([predict(model, x) for model in models])


def x_learner(sample: Sample, arms: int, scores: Floats, seed: int) -> Values:
    """Imputed effects against arm 0, from both sides, weighted by the arms' shares.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many, arm 0 being the control.
    scores : array of float
        Not read: outcome models need none.
    seed : int
    """
    models = _per_arm(sample, arms, seed)
    control = sample.arm == 0
    pairs = []
    for arm in range(1, arms):
        mine = sample.arm == arm
        treated = sample.outcome[mine] - predict(models[0], sample.x[mine])
        untreated = predict(models[arm], sample.x[control]) - sample.outcome[control]
        share = mine.sum() / max(mine.sum() + control.sum(), 1)
        pairs.append(
            (
                grow(sample.x[mine], treated, TREES, ROUNDS, seed),
                grow(sample.x[control], untreated, TREES, ROUNDS, seed),
                share,
            )
        )

    def values(x: Floats) -> Floats:
        effects = [(1 - e) * predict(a, x) + e * predict(b, x) for a, b, e in pairs]
        return np.column_stack([np.zeros(len(x)), *effects])

    return values


def causal_forest(sample: Sample, arms: int, scores: Floats, seed: int) -> Values:
    """A causal forest (econml, extra `uplift`), on at most `FOREST_ROWS` rows.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many, arm 0 being the control.
    scores : array of float
        Not read: the library makes its own.
    seed : int
        Draws the rows and grows the forest.
    """
    from econml.dml import CausalForestDML
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(sample.arm))[:FOREST_ROWS]
    forest = CausalForestDML(
        model_y=HistGradientBoostingRegressor(max_iter=60, max_leaf_nodes=12, random_state=seed),
        model_t=HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=6, random_state=seed),
        discrete_treatment=True,
        cv=3,
        n_estimators=120,
        min_samples_leaf=30,
        max_samples=0.4,
        n_jobs=2,
        random_state=seed,
    )
    fill = np.nan_to_num(np.nanmedian(sample.x, axis=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own warnings about its own calls
        x = np.where(np.isnan(sample.x[rows]), fill, sample.x[rows])
        forest.fit(sample.outcome[rows], sample.arm[rows], X=x)

    def values(x: Floats) -> Floats:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            effect = forest.const_marginal_effect(np.where(np.isnan(x), fill, x))
        return np.column_stack([np.zeros(len(x)), effect.reshape(len(x), arms - 1)])

    return values


def policy_tree(sample: Sample, arms: int, scores: Floats, seed: int) -> Values:
    """A tree of depth two that maximises the doubly robust value, best cut first.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many, arm 0 being the control.
    scores : array of float
        Doubly robust value of every arm, shape (rows, arms).
    seed : int
        Not read: the cuts are searched one by one.
    """
    fill = np.nan_to_num(np.nanmedian(sample.x, axis=0)) if len(sample.x) else np.zeros(0)
    x = np.where(np.isnan(sample.x), fill, sample.x)
    root = _best_cut(x, scores)
    below: dict[bool, tuple[int, float]] = {}
    leaves: dict[tuple[bool, bool], int] = {}
    for right in (False, True):
        side = (x[:, root[0]] > root[1]) == right
        below[right] = _best_cut(x[side], scores[side])
        column, cut = below[right]
        for upper in (False, True):
            rows = (x[side][:, column] > cut) == upper
            total = scores[side][rows].sum(axis=0) if rows.any() else scores.sum(axis=0)
            leaves[right, upper] = int(total.argmax())

    def values(at: Floats) -> Floats:
        at = np.where(np.isnan(at), fill, at)
        right = at[:, root[0]] > root[1]
        upper = np.where(
            right, at[:, below[True][0]] > below[True][1], at[:, below[False][0]] > below[False][1]
        )
        table = np.array([[leaves[r, u] for u in (False, True)] for r in (False, True)])
        return np.asarray(np.eye(arms)[table[right.astype(int), upper.astype(int)]])

    return values


#: The comparison, in the order of the table.
BASELINES: Final[dict[str, Baseline]] = {
    "S-learner": s_learner,
    "T-learner": t_learner,
    "X-learner": x_learner,
    "causal forest": causal_forest,
    "policy tree": policy_tree,
}


def _per_arm(sample: Sample, arms: int, seed: int) -> list[Any]:
    return [
        grow(sample.x[sample.arm == arm], sample.outcome[sample.arm == arm], TREES, ROUNDS, seed)
        for arm in range(arms)
    ]


def _best_cut(x: Floats, scores: Floats) -> tuple[int, float]:
    """Return the column and cut after which the best arm of each side is worth most."""
    best, chosen = -np.inf, (0, np.inf)
    total = scores.sum(axis=0)
    if not len(x):
        return chosen
    for column in range(x.shape[1]):
        cuts = np.unique(np.quantile(x[:, column], np.linspace(0, 1, POLICY_TREE_CUTS + 2)))[:-1]
        side = np.searchsorted(cuts, x[:, column], side="left")
        sums = np.column_stack(
            [np.bincount(side, weights=s, minlength=len(cuts) + 1) for s in scores.T]
        )
        lower = np.cumsum(sums, axis=0)[:-1]
        gain = lower.max(axis=1) + (total - lower).max(axis=1)
        if len(gain) and gain.max() > best:
            best, chosen = float(gain.max()), (column, float(cuts[gain.argmax()]))
    return chosen
