"""The linear parts: a proportional hazard in few features, and ridge Poisson regression.

Two dozen coefficients on logarithms of features, the same in every period (a grouped Cox model;
Prentice and Gloeckler, 1978). They see little, but they carry on smoothly where trees stop,
they last when a population drifts, and their errors are not those of the trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from nba.arrays import Floats, Singles
from nba.models.timing.features import FEATURES
from nba.models.timing.panel import PERIOD, expit

#: Features of the regression, each as log(1 + x); the first two also squared.
USED: Final = (
    "days_since_purchase",
    "purchase_days",
    "gap_days_shrunk",
    "overdue_shrunk",
    "purchase_days_90d",
    "purchase_days_365d",
    "amount_mean",
    "age_days",
    "quantity_mean",
    "amount_365d",
    "purchase_decayed_120d",
    "purchase_decayed_30d",
    "recency_share",
)
_COLUMNS: Final = [list(FEATURES).index(name) for name in USED]
_CURVED: Final = 2
_CLIP: Final = 5.0
_RIDGE: Final = 10.0


@dataclass(frozen=True)
class Proportional:
    """A fitted proportional hazard: a level per period, and coefficients of the features."""

    mean: Floats
    spread: Floats
    level: Floats
    beta: Floats

    def logits(self, static: Floats) -> Floats:
        """Return the logit of the hazard of each customer and period, season aside."""
        risk = _design(_logs(static), self.mean, self.spread) @ self.beta
        return np.asarray(risk[:, None] + self.level)

    def row_logits(self, rows: Singles) -> Floats:
        """Return the logit of the hazard of person-period rows, season aside."""
        risk = _design(_logs(rows), self.mean, self.spread) @ self.beta
        return np.asarray(risk + self.level[rows[:, PERIOD].astype(np.int64)])


def _logs(rows: Floats | Singles) -> Floats:
    return np.asarray(np.log1p(np.maximum(rows[:, _COLUMNS].astype(np.float64), 0.0)))


def _design(logs: Floats, mean: Floats, spread: Floats) -> Floats:
    z = np.nan_to_num(np.clip((logs - mean) / spread, -_CLIP, _CLIP))
    return np.column_stack([z, z[:, :_CURVED] ** 2])


def fit_proportional(
    rows: Singles, bought: Floats, offset: Floats, *, periods: int
) -> Proportional:
    """Fit on person-period rows, with a given offset on the logit scale.

    Parameters
    ----------
    rows : Singles
        Shape (rows, features), the period among them.
    bought : array of float
        Shape (rows,), 0 or 1.
    offset : array of float
        Shape (rows,), on the logit scale.
    periods : int
        How many levels to fit.
    """
    logs = _logs(rows)
    mean, spread = scale_of(logs)
    level = (rows[:, PERIOD][:, None] == np.arange(periods)).astype(np.float64)
    matrix = np.column_stack([level, _design(logs, mean, spread)])
    beta = fit_logistic(matrix, bought, offset)
    return Proportional(mean, spread, beta[:periods], beta[periods:])


def scale_of(values: Floats) -> tuple[Floats, Floats]:
    """Return mean and spread of each column, NaN aside; columns without a value get 0 and 1."""
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return np.asarray(mean), np.where(spread > 1e-9, spread, 1.0)


def fit_logistic(matrix: Floats, label: Floats, offset: Floats, *, ridge: float = _RIDGE) -> Floats:
    """Return the coefficients of a ridge logistic regression with a given offset.

    Parameters
    ----------
    matrix : array of float
        Shape (rows, terms).
    label : array of float
        Shape (rows,), 0 or 1.
    offset : array of float
        Shape (rows,), on the logit scale.
    ridge : float
        Penalty of every coefficient.
    """
    half = matrix.astype(np.float32)  # the sums of squares need no more, and take half the time
    beta = np.zeros(half.shape[1])
    penalty = np.full(half.shape[1], ridge)
    for _ in range(15):
        p = expit((half @ beta.astype(np.float32)).astype(np.float64) + offset)
        weight = np.maximum(p * (1.0 - p), 1e-5).astype(np.float32)
        curvature = ((half * weight[:, None]).T @ half).astype(np.float64)
        slope = (half.T @ (label - p).astype(np.float32)).astype(np.float64) - penalty * beta
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        beta += step
        if np.abs(step).max() < 1e-4:
            break
    return beta


def fit_poisson(matrix: Floats, count: Floats, offset: Floats, *, ridge: float) -> Floats:
    """Return the coefficients of a ridge Poisson regression with a given log offset.

    Parameters
    ----------
    matrix : array of float
        Shape (rows, terms), the first one the constant, which is nearly free.
    count : array of float
        Shape (rows,).
    offset : array of float
        Shape (rows,), on the log scale.
    ridge : float
        Penalty of every coefficient but the first.
    """
    beta = np.zeros(matrix.shape[1])
    penalty = np.full(matrix.shape[1], ridge)
    penalty[0] = 1e-3
    for _ in range(30):
        mean = np.exp(np.clip(matrix @ beta, -4.0, 4.0) + offset)
        curvature = (matrix * mean[:, None]).T @ matrix + np.diag(penalty)
        step = np.linalg.solve(curvature, matrix.T @ (count - mean) - penalty * beta)
        beta += np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-5:
            break
    return beta
