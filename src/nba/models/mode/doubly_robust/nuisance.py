"""What stands between a log and its effects: outcome means and propensities, cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.models.base import ModelConfig
from nba.models.mode.estimators import trees
from nba.models.mode.estimators.linear import ridge_path
from nba.models.mode.propensities.arms import ArmOverlap, estimate_propensities, overlap


class LearnerConfig(ModelConfig):
    """Parameters of the doubly robust learner."""

    folds: int = Field(default=5, ge=2, description="Folds of the cross-fitting.")
    use_trees: bool = Field(default=True, description="Stack boosted trees with the ridge.")
    proof_t: float = Field(
        default=2.6,
        ge=0,
        description="Heterogeneity with a held-out t below this is dropped; above, 1 - (this/t)^4 "
        "of it is kept.",
    )
    learn_quantile: float = Field(
        default=0.975,
        gt=0,
        le=1,
        description="Guesses of heterogeneity are learned on outcomes cut at this quantile of the "
        "sizes that are not zero; means, sizes and proof stay uncut.",
    )
    caution: float = Field(
        default=0.0, ge=0, description="Leave the best arm only above this many standard errors."
    )
    propensity_floor: float = Field(
        default=0.02, gt=0, lt=0.5, description="Smaller propensities are cut."
    )
    min_arm_rows: int = Field(
        default=30, ge=2, description="An arm with a smaller effective sample size is refused."
    )


@dataclass(frozen=True)
class Sample:
    """What was observed: one row per assignment.

    Parameters
    ----------
    x : array of shape (rows, columns)
        NaN is allowed.
    arm : int array of shape (rows,)
    outcome : array of shape (rows,)
    propensity : array of shape (rows,), optional
        Logged probability of the drawn arm; estimated where absent, or NaN in a row.
    group : int array of shape (rows,), optional
        Rows that are not independent: they share a fold and count once in errors.
    """

    x: Floats
    arm: Ints
    outcome: Floats
    propensity: Floats | None = None
    group: Ints | None = None

    def take(self, rows: Ints) -> Sample:
        """Return the sample of `rows`."""
        return Sample(
            self.x[rows],
            self.arm[rows],
            self.outcome[rows],
            None if self.propensity is None else self.propensity[rows],
            None if self.group is None else self.group[rows],
        )


@dataclass(frozen=True)
class Nuisance:
    """Cross-fitted outcome means (rows, arms) and propensities of the drawn arm (rows,).

    `outcome_trees` holds the trees' share of the means: held out, and comparable between arms.
    """

    mean: Floats
    outcome_trees: Floats
    propensity: Floats
    propensity_model: str
    overlap: list[ArmOverlap] = field(default_factory=list)

    def scores(self, sample: Sample) -> Floats:
        """Return the doubly robust score of every arm in every row, shape (rows, arms)."""
        rows = np.arange(len(sample.arm))
        scores = self.mean.copy()
        residual = sample.outcome - self.mean[rows, sample.arm]
        scores[rows, sample.arm] += residual / self.propensity
        return scores


def folds_of(rows: int, folds: int, seed: int, group: Ints | None, arm: Ints) -> Ints:
    """Return a fold per row: balanced within arms, or by whole groups where there are any.

    Parameters
    ----------
    rows, folds : int
        How many.
    seed : int
    group : array of int, optional
        Shape (rows,): units that stay together, such as customers.
    arm : array of int
        Shape (rows,).
    """
    rng = np.random.default_rng(seed)
    if group is not None:
        _, code = np.unique(group, return_inverse=True)
        return rng.permutation(np.arange(int(code.max(initial=0)) + 1) % folds)[code]
    order = rng.permutation(rows)
    order = order[np.argsort(arm[order], kind="stable")]
    fold = np.empty(rows, dtype=np.int64)
    fold[order] = np.arange(rows) % folds
    return fold


def fit_nuisance(
    sample: Sample, arms: int, terms: Floats, fold: Ints, *, config: LearnerConfig, seed: int
) -> Nuisance:
    """Fit outcome means and, where none were logged, propensities; each row by other folds.

    Trees over columns and arm give the means, a ridge per arm corrects what they missed.

    Parameters
    ----------
    sample : Sample
    arms : int
        How many.
    terms : array of float
        Shape (rows, terms): what the ridges see.
    fold : array of int
        Shape (rows,): who predicts a row has not seen its fold.
    config : LearnerConfig
    seed : int
    """
    folds, rows = config.folds, np.arange(len(sample.arm))
    pooled = trees.outcome_path(
        sample.x, sample.arm, arms, sample.outcome, fold=fold, folds=folds, seed=seed
    )
    mean = pooled.copy()
    rest = sample.outcome - pooled[rows, sample.arm]
    for code in range(arms):
        mine = sample.arm == code
        if mine.sum() < 2 * folds:
            continue
        path = ridge_path(terms[mine], rest[mine][:, None], fold[mine], folds)
        for k in range(folds):
            out = fold == k
            mean[out, code] += terms[out] @ path.coefficients[k, :, 0] + path.intercepts[k, 0]
    drawn, full, name = _propensities(sample, arms, terms, fold=fold, folds=folds, seed=seed)
    floor, least = config.propensity_floor, config.min_arm_rows
    checks = overlap(sample.arm, arms, drawn, full, floor=floor, min_rows=least)
    return Nuisance(mean, pooled, np.maximum(drawn, floor), name, checks)


def _propensities(
    sample: Sample, arms: int, terms: Floats, *, fold: Ints, folds: int, seed: int
) -> tuple[Floats, Floats | None, str]:
    """Return the drawn arm's propensity, all arms' where they are known, and their origin."""
    logged = sample.propensity
    if logged is not None and not np.isnan(logged).any():
        return logged, None, "logged"
    open_ = np.arange(len(sample.arm)) if logged is None else np.flatnonzero(np.isnan(logged))
    arm = sample.arm[open_]
    estimated = estimate_propensities(
        terms[open_], sample.x[open_], arm, arms, fold=fold[open_], folds=folds, seed=seed
    )
    drawn = estimated.values[np.arange(len(arm)), arm]
    if logged is None:
        return drawn, estimated.values, estimated.model
    mixed = logged.copy()
    mixed[open_] = drawn
    return mixed, None, f"logged, else {estimated.model}"
