"""The multi-arm doubly robust learner, on plain matrices.

1. Outcome models and, where they were not logged, propensities are fitted with each fold left
   out; with them every row gets a doubly robust score of the outcome under every arm.
2. The arm with the best mean is the reference. Each other arm's contrast with it is a constant
   plus heterogeneity, for which there are three guesses, all held out: a piecewise-linear ridge
   and boosted trees on the scores (of outcomes whose extremes are cut, which calms the guesses
   where money has a long tail), and the contrast of the outcome trees.
3. They are stacked on the uncut scores by non-negative least squares, which sets their size, and
   shrunk by what is not proven: ``max(0, 1 - (t0 / t)^4)``. Without proof only the constants
   remain, and the policy is the best single arm.

References
----------
Kennedy (2023), Towards optimal doubly robust estimation of heterogeneous causal effects.
James, Stein (1961), Estimation with quadratic loss.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.mode.doubly_robust.nuisance import (
    LearnerConfig,
    Nuisance,
    Sample,
    fit_nuisance,
    folds_of,
)
from nba.models.mode.estimators import trees
from nba.models.mode.estimators.linear import Basis, ridge_path

#: The guesses that are stacked, in the order of their weights.
RIDGE, EFFECT_TREES, OUTCOME_TREES = range(3)
#: Trees are not grown on fewer rows.
MIN_TREE_ROWS: Final = 200


@dataclass(frozen=True)
class Heterogeneity:
    """What is known of one contrast beyond its mean.

    Parameters
    ----------
    weight : tuple of three floats
        Of ridge, effect trees and outcome trees in the stack.
    t : float
        Of the stacked prediction on held-out scores.
    proven_share : float
        The share of it that survives shrinkage.
    centre : tuple of two floats
        Mean over the sample of what effect trees and outcome trees predict.
    spread : tuple of two floats
        How far these two stand from their held-out selves (standard deviation).
    size : float
        Standard deviation of the stacked prediction before shrinkage.
    """

    weight: tuple[float, float, float] = (0.0, 0.0, 0.0)
    t: float = 0.0
    proven_share: float = 0.0
    centre: tuple[float, float] = (0.0, 0.0)
    spread: tuple[float, float] = (0.0, 0.0)
    size: float = 0.0


@dataclass
class Effects:
    """Learned arm values: a mean contrast with the reference arm plus proven heterogeneity."""

    config: LearnerConfig
    arms: int
    reference: int
    open_arms: tuple[int, ...]
    mean: Floats
    mean_error: Floats
    basis: Basis
    ridge: Floats  # (folds, terms, arms): fold models of each contrast
    heterogeneity: list[Heterogeneity]
    boosters: list[Any]
    outcome_booster: Any = None
    nuisance: Nuisance | None = field(default=None, repr=False)

    def contrasts(self, x: Floats) -> Floats:
        """Return each arm's expected value minus the reference's, shape (rows, arms)."""
        return np.asarray(self.mean + self.deviations(x, self.basis.transform(x)))

    def effects(self, x: Floats, control: int = 0) -> Floats:
        """Return each arm's expected value minus the control's, shape (rows, arms)."""
        values = self.contrasts(x)
        return np.asarray(values - values[:, [control]])

    def deviations(self, x: Floats, terms: Floats) -> Floats:
        """Return the proven heterogeneity of each contrast, shape (rows, arms)."""
        total = np.zeros((len(x), self.arms))
        proven = [code for code in range(self.arms) if self.heterogeneity[code].proven_share > 0]
        if not proven or not len(x):
            return total
        linear = terms @ np.column_stack([self.ridge[:, :, code].mean(axis=0) for code in proven])
        outcome = self._outcomes(x, proven)
        for i, code in enumerate(proven):
            heterogeneity = self.heterogeneity[code]
            part = heterogeneity.weight[RIDGE] * linear[:, i]
            if heterogeneity.weight[EFFECT_TREES] > 0:
                guess = trees.predict(self.boosters[code], x)
                part = part + heterogeneity.weight[EFFECT_TREES] * (guess - heterogeneity.centre[0])
            if heterogeneity.weight[OUTCOME_TREES] > 0:
                gap = outcome[:, code] - outcome[:, self.reference]
                part = part + heterogeneity.weight[OUTCOME_TREES] * (gap - heterogeneity.centre[1])
            total[:, code] = heterogeneity.proven_share * part
        return total

    def variances(self, terms: Floats, *, against: int | None = None) -> Floats:
        """Return the variance of each arm's deviation from `against`, shape (rows, arms).

        From the spread of the fold models (delete-a-group jackknife), and from the heterogeneity
        that shrinkage removed although it may yet be true.
        """
        against = self.reference if against is None else against
        folds, width, arms = self.ridge.shape
        scale = np.array([h.proven_share * h.weight[RIDGE] for h in self.heterogeneity])
        scaled = self.ridge * scale
        scaled = scaled - scaled[:, :, [against]]
        centred = (scaled - scaled.mean(axis=0)).transpose(1, 0, 2).reshape(width, folds * arms)
        each = (terms @ centred).reshape(len(terms), folds, arms)
        variance = (folds - 1) / folds * np.square(each).sum(axis=1)
        noise = np.array([self._other_variance(h) for h in self.heterogeneity])
        variance += np.where(np.arange(arms) == against, 0.0, noise + noise[against])
        return np.asarray(variance)

    def choose(self, x: Floats) -> Ints:
        """Return the arm for each row: the best value, with the configured caution."""
        terms = self.basis.transform(x)
        deviations = self.deviations(x, terms)
        values = self.mean + deviations
        if self.config.caution > 0:
            variance = np.square(self.mean_error) + self.variances(terms)
            values = values - self.config.caution * np.sqrt(variance)
            values[:, self.reference] = 0.0
        closed = [code for code in range(self.arms) if code not in self.open_arms]
        values[:, closed] = -np.inf
        return np.asarray(values.argmax(axis=1), dtype=np.int64)

    def _outcomes(self, x: Floats, proven: list[int]) -> Floats:
        values = np.zeros((len(x), self.arms))
        wanted = [code for code in proven if self.heterogeneity[code].weight[OUTCOME_TREES] > 0]
        if wanted:
            for code in {*wanted, self.reference}:
                values[:, code] = trees.outcomes_under(self.outcome_booster, x, code, self.arms)
        return values

    def _other_variance(self, heterogeneity: Heterogeneity) -> float:
        """Return the variance of the trees' share and of what was shrunk away."""
        effect = heterogeneity.weight[EFFECT_TREES] * heterogeneity.spread[0]
        outcome = heterogeneity.weight[OUTCOME_TREES] * heterogeneity.spread[1]
        shrunk = (1 - heterogeneity.proven_share**2) * heterogeneity.size**2
        return float(heterogeneity.proven_share**2 * (effect**2 + outcome**2) + shrunk)


def learn(
    sample: Sample,
    arms: int,
    *,
    cost: Floats | None = None,
    config: LearnerConfig | None = None,
    seed: int = 0,
) -> Effects:
    """Learn what each arm is worth for whom.

    Parameters
    ----------
    sample : Sample
    arms : int
        Number of arms; those without overlap are never chosen.
    cost : array of shape (arms,), optional
        Deducted from the outcome of each arm.
    """
    config = config or LearnerConfig()
    fold = folds_of(len(sample.arm), config.folds, seed, sample.group, sample.arm)
    basis = Basis.fit(sample.x)
    terms = basis.transform(sample.x)
    nuisance = fit_nuisance(sample, arms, terms, fold, config=config, seed=seed)
    scores = nuisance.scores(sample) - (0.0 if cost is None else cost)
    return learn_from_scores(sample, scores, nuisance, basis, fold, config=config, seed=seed)


def learn_from_scores(
    sample: Sample,
    scores: Floats,
    nuisance: Nuisance,
    basis: Basis,
    fold: Ints,
    *,
    config: LearnerConfig,
    seed: int,
) -> Effects:
    """Learn effects from scores.

    Parameters
    ----------
    sample : Sample
    scores : array of float
        Shape (rows, arms): doubly robust value of every arm, in money, costs deducted.
    nuisance, fold : Nuisance, array of int
        What the scores were made with.
    basis : Basis
        The terms of the linear effects.
    config : LearnerConfig
    seed : int
        Grows the trees.
    """
    terms, arms = basis.transform(sample.x), scores.shape[1]
    open_arms = tuple(check.arm for check in nuisance.overlap if not check.refused)
    if not open_arms:
        open_arms = (int(np.bincount(sample.arm, minlength=arms).argmax()),)
    level = scores.mean(axis=0)
    reference = max(open_arms, key=lambda code: float(level[code]))
    contrast = scores - scores[:, [reference]]
    cut = replace(sample, outcome=_cut(sample.outcome, config.learn_quantile))
    calm = scores + nuisance.scores(cut) - nuisance.scores(sample)
    calm = calm - calm[:, [reference]]
    ridge = ridge_path(terms, calm, fold, config.folds)
    heterogeneity = [Heterogeneity()] * arms
    boosters: list[Any] = [None] * arms
    for code in open_arms:
        if code == reference:
            continue
        trees_held, rounds = np.zeros(len(scores)), 0
        if config.use_trees and len(scores) >= MIN_TREE_ROWS:
            trees_held, rounds = trees.effect_path(
                sample.x, calm[:, code], fold, config.folds, seed + code
            )
        outcome = nuisance.outcome_trees[:, code] - nuisance.outcome_trees[:, reference]
        held_out = np.c_[ridge.held_out[:, code], trees_held, outcome]
        heterogeneity[code] = _stack(held_out, contrast[:, code], fold, sample.group, config)
        if heterogeneity[code].proven_share > 0 and heterogeneity[code].weight[EFFECT_TREES] > 0:
            boosters[code] = trees.grow(
                sample.x, calm[:, code], trees.EFFECT_TREES, rounds, seed + code
            )
            fitted = trees.predict(boosters[code], sample.x)
            heterogeneity[code] = _centred(heterogeneity[code], 0, fitted, trees_held, fold)
    booster = None
    if any(h.proven_share > 0 and h.weight[OUTCOME_TREES] > 0 for h in heterogeneity):
        grown = trees.grow_outcome(sample.x, sample.arm, arms, sample.outcome, seed)
        width = sample.x.shape[1]
        booster = trees.only_trees_with(grown, set(range(width, width + arms)))
        fitted = np.column_stack(
            [trees.outcomes_under(booster, sample.x, code, arms) for code in range(arms)]
        )
        held = nuisance.outcome_trees
        for code, of_arm in enumerate(heterogeneity):
            gap, held_gap = (
                fitted[:, code] - fitted[:, reference],
                held[:, code] - held[:, reference],
            )
            heterogeneity[code] = _centred(of_arm, 1, gap, held_gap, fold)
    return Effects(
        config=config,
        arms=arms,
        reference=reference,
        open_arms=open_arms,
        mean=contrast.mean(axis=0),
        mean_error=mean_errors(contrast, sample.group),
        basis=basis,
        ridge=ridge.coefficients,
        heterogeneity=heterogeneity,
        boosters=boosters,
        outcome_booster=booster,
        nuisance=nuisance,
    )


def mean_errors(values: Floats, group: Ints | None) -> Floats:
    """Return the standard error of each column's mean, over groups where given."""
    deviation = values - values.mean(axis=0)
    if group is not None:
        _, code = np.unique(group, return_inverse=True)
        deviation = np.column_stack([np.bincount(code, weights=d) for d in deviation.T])
    return np.asarray(np.sqrt(np.square(deviation).sum(axis=0)) / max(len(values), 1))


def _cut(outcome: Floats, quantile: float) -> Floats:
    """Return outcomes with the extremes cut: at a quantile of the sizes that are not zero."""
    size = np.abs(outcome[outcome != 0])
    if quantile >= 1 or not len(size):
        return outcome
    cap = float(np.quantile(size, quantile))
    return np.asarray(np.clip(outcome, -cap, cap))


def _stack(
    held_out: Floats, target: Floats, fold: Ints, group: Ints | None, config: LearnerConfig
) -> Heterogeneity:
    """Weigh held-out predictions by non-negative least squares, and ask for proof."""
    from scipy.optimize import nnls

    guess = np.column_stack([_within(column, fold) for column in held_out.T])
    goal = _within(target, fold)
    size = np.sqrt(np.square(guess).sum(axis=0))
    size[size <= 1e-9 * max(float(np.sqrt(goal @ goal)), 1e-12)] = np.inf
    weight = nnls(guess / size, goal)[0] / size
    stacked = guess @ weight
    spread = float(stacked @ stacked)
    if spread <= 0:
        return Heterogeneity()
    slope = float(stacked @ goal) / spread
    influence = stacked * (goal - slope * stacked)
    if group is not None:
        _, code = np.unique(group, return_inverse=True)
        influence = np.bincount(code, weights=influence)
    error = float(np.sqrt(np.square(influence).sum())) / spread
    t = slope / error if error > 0 else 0.0
    proven_share = max(0.0, 1.0 - (config.proof_t / t) ** 4) if t > 0 else 0.0
    weights = (float(weight[0]), float(weight[1]), float(weight[2]))
    return Heterogeneity(weights, t, proven_share, size=float(np.sqrt(spread / len(goal))))


def _centred(
    heterogeneity: Heterogeneity, which: int, fitted: Floats, held_out: Floats, fold: Ints
) -> Heterogeneity:
    """Return `contrast` with the centre and spread of one kind of trees filled in."""
    centre, spread = list(heterogeneity.centre), list(heterogeneity.spread)
    centre[which] = float(fitted.mean())
    spread[which] = float(np.std(_within(held_out, fold) - _within(fitted, fold)))
    return replace(heterogeneity, centre=(centre[0], centre[1]), spread=(spread[0], spread[1]))


def _within(values: Floats, fold: Ints) -> Floats:
    count = np.maximum(np.bincount(fold), 1)
    return np.asarray(values - (np.bincount(fold, weights=values) / count)[fold])
