"""A linear model of effects whose parameters share strength in groups.

Effects of a contact are a few per cent of a margin that is mostly noise. Every parameter is
therefore a deviation from the prior, and parameters of one group (a mode's scale, a mode in a kind
of category, a modifier) share one width. The widths are not chosen: they maximise the
evidence, the probability of the data after all parameters are integrated out, so that a group
without a difference that is seen shrinks to nothing.

Rows enter as residuals: outcome minus its expectation without regard to the arm, against arm minus
its propensity (the R-learner), weighed by the inverse of the noise. Rows of one customer are not
independent: their common error is measured and deducted from the weight of the data.

References
----------
Robinson (1988), Root-N-consistent semiparametric regression.
Nie, Wager (2021), Quasi-oracle estimation of heterogeneous treatment effects.
MacKay (1992), Bayesian interpolation (the evidence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nba.arrays import Floats, Ints

#: Multiples of a group's width that the evidence chooses from, as powers of two.
GRID: Final = tuple(2.0 ** np.arange(-5.0, 4.0, 0.5))
#: Standard deviation of the log of a width around its expectation.
WIDTH_SPREAD: Final = 1.0
SWEEPS: Final = 6
NOISE_BINS: Final = 20


@dataclass(frozen=True)
class Posterior:
    """What is known of the parameters: mean (terms,), covariance (terms, terms), group widths."""

    mean: Floats
    covariance: Floats
    widths: Floats
    inflation: float


@dataclass(frozen=True)
class Evidence:
    """Sufficient statistics of weighted rows: gram (terms, terms) and cross (terms,)."""

    gram: Floats
    cross: Floats

    @classmethod
    def of(cls, design: Floats, target: Floats, weight: Floats) -> Evidence:
        """Return the statistics of rows of noise variance ``1 / weight``."""
        scaled = design * weight[:, None]
        return cls(design.T @ scaled, scaled.T @ target)

    def log_evidence(self, width: Floats) -> float:
        """Return the log evidence of one width per term, up to a constant."""
        scaled = width[:, None] * self.gram * width
        root = np.linalg.cholesky(scaled + np.eye(len(width)))
        half = np.linalg.solve(root, width * self.cross)
        return float(0.5 * half @ half - np.log(np.diag(root)).sum())


def fit_posterior(
    design: Floats,
    target: Floats,
    weight: Floats,
    *,
    centre: Floats,
    block: Ints,
    width: Floats,
    fixed: frozenset[int] = frozenset(),
    group: Ints | None = None,
) -> Posterior:
    """Fit a linear model with one width per group of parameters.

    Parameters
    ----------
    design : array of shape (rows, terms)
    target : array of shape (rows,)
    weight : array of shape (rows,)
        One over the variance of the noise.
    centre : array of shape (terms,)
        Prior means.
    block : int array of shape (terms,)
        The group of each term.
    width : array of shape (groups,)
        Expected standard deviation of the parameters of each group around their centre.
    fixed : frozenset of int
        Groups whose width is kept as expected.
    group : int array of shape (rows,), optional
        Rows that are not independent.
    """
    root = np.sqrt(weight)[:, None]
    scaled = design * root
    rest = (target - design @ centre) * root[:, 0]
    gram, cross = scaled.T @ scaled, scaled.T @ rest
    inflation = 1.0
    widths = width.astype(np.float64)
    for _ in range(2):
        evidence = Evidence(gram / inflation, cross / inflation)
        widths = _best_widths(evidence, block, width, fixed)
        mean, covariance = _posterior(evidence, widths[block])
        inflation = _inflation(scaled, rest - scaled @ mean, group)
    evidence = Evidence(gram / inflation, cross / inflation)
    mean, covariance = _posterior(evidence, widths[block])
    return Posterior(centre + mean, covariance, widths, inflation)


def _posterior(evidence: Evidence, width: Floats) -> tuple[Floats, Floats]:
    scaled = width[:, None] * evidence.gram * width + np.eye(len(width))
    covariance = width[:, None] * np.linalg.inv(scaled) * width
    return covariance @ evidence.cross, covariance


def _best_widths(evidence: Evidence, block: Ints, width: Floats, fixed: frozenset[int]) -> Floats:
    """Return the widths of the greatest evidence, each in turn, given their expectation."""
    widths = width.astype(np.float64)
    steps = np.array(GRID)
    belief = -0.5 * np.square(np.log(steps) / WIDTH_SPREAD)
    for _ in range(SWEEPS):
        before = widths.copy()
        for code in range(len(width)):
            if code in fixed or not (block == code).any():
                continue
            scores = []
            for step, log_prior in zip(steps, belief, strict=True):
                widths[code] = width[code] * step
                scores.append(evidence.log_evidence(widths[block]) + log_prior)
            widths[code] = width[code] * steps[int(np.argmax(scores))]
        if np.array_equal(before, widths):
            break
    return widths


def _inflation(scaled: Floats, rest: Floats, group: Ints | None) -> float:
    """Return how much larger squared errors are than rows of unit noise would give."""
    influence = scaled * rest[:, None]
    if group is not None:
        _, code = np.unique(group, return_inverse=True)
        influence = np.column_stack([np.bincount(code, weights=column) for column in influence.T])
    own = np.square(scaled).sum(axis=0)
    seen = own > 1e-12
    if not seen.any():
        return 1.0
    ratio = np.square(influence).sum(axis=0)[seen] / own[seen]
    return float(max(np.mean(ratio), 1e-6))


def noise_variance(residual: Floats, size: Floats) -> Floats:
    """Return the variance of the residuals as a rising function of `size`, shape (rows,).

    Means of squares in bins of equal counts, made monotone, interpolated in logs.
    """
    if not len(residual):
        return np.ones(0)
    log_size = np.log(np.maximum(size, 1e-9))
    edges = np.quantile(log_size, np.linspace(0, 1, NOISE_BINS + 1)[1:-1])
    code = np.searchsorted(edges, log_size)
    count = np.bincount(code, minlength=NOISE_BINS)
    filled = count > 0
    square = np.bincount(code, weights=np.square(residual), minlength=NOISE_BINS)[filled]
    level = square / count[filled]
    middle = np.bincount(code, weights=log_size, minlength=NOISE_BINS)[filled] / count[filled]
    floor = max(float(level.mean()) * 1e-3, 1e-12)
    rising = np.maximum.accumulate(np.maximum(level, floor))
    falling = np.minimum.accumulate(np.maximum(level, floor)[::-1])[::-1]
    smooth = np.sqrt(rising * falling)
    return np.asarray(np.exp(np.interp(log_size, middle, np.log(smooth))))
