"""How well predicted effects rank and how true they are in size.

Normalisation, once and for all: shares of customers run from 0 to 1, gains are in units of the
outcome **per customer of the whole population**. AUUC is the area under the gain curve, Qini the
area between it and the straight line to the gain of treating everyone. Published Qini values
differ by their normalisation alone; compare only inside one run.

Ranks are taken within folds: scores of different fold models are not comparable, and pooled they
give even a constant score a Qini far from zero. Ties share their mean rank, so that a constant
score has a Qini of exactly zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.evaluation.off_policy import mean_interval


@dataclass(frozen=True)
class UpliftCurve:
    """The gain curve of a ranking, with its areas.

    `share` and `gain` have one point per percentile; the errors are standard errors.
    """

    share: Floats
    gain: Floats
    auuc: float
    auuc_error: float
    qini: float
    qini_error: float


@dataclass(frozen=True)
class Calibration:
    """Predicted against estimated effects: by decile, and as a slope through the rows.

    `slope` regresses the row scores on the prediction with an intercept per fold; 1 is calibrated,
    `t` is the slope in standard errors.
    """

    deciles: pl.DataFrame
    slope: float
    slope_error: float

    @property
    def t(self) -> float:
        """The slope in standard errors."""
        return self.slope / self.slope_error if self.slope_error > 0 else 0.0


def rank_share(key: Floats, fold: Ints | None = None) -> Floats:
    """Return each row's rank from the top within its fold, as a share in (0, 1); ties averaged."""
    from scipy.stats import rankdata

    fold = np.zeros(len(key), dtype=np.int64) if fold is None else fold
    share = np.empty(len(key))
    for number in np.unique(fold):
        rows = np.flatnonzero(fold == number)
        share[rows] = (rankdata(-key[rows]) - 0.5) / len(rows)
    return share


def uplift_curve(
    key: Floats, gain: Floats, *, fold: Ints | None = None, group: Ints | None = None
) -> UpliftCurve:
    """Return the gain curve when customers are treated from the highest `key` down.

    Parameters
    ----------
    key : array of shape (n,)
        What the customers are ranked by.
    gain : array of shape (n,)
        Row scores of the effect of treating (see `row_scores`): arm minus control.
    fold : int array, optional
        The fold that scored each row; ranks are taken within.
    group : int array, optional
        Rows that are not independent.
    """
    rank = rank_share(key, fold)
    auuc, auuc_error, _, _ = mean_interval((1 - rank) * gain, group=group)
    qini, qini_error, _, _ = mean_interval((0.5 - rank) * gain, group=group)
    share = np.linspace(0, 1, 101)
    total = np.bincount(np.minimum((rank * 100).astype(np.int64), 99), weights=gain, minlength=100)
    curve = np.r_[0.0, np.cumsum(total) / max(len(gain), 1)]
    return UpliftCurve(share, curve, auuc, auuc_error, qini, qini_error)


def multi_arm_uplift(
    effect: Floats,
    scores: Floats,
    *,
    control: int = 0,
    fold: Ints | None = None,
    group: Ints | None = None,
) -> UpliftCurve:
    """Return the gain curve of several arms: each customer's best arm, best customers first.

    Parameters
    ----------
    effect : array of shape (n, arms)
        Predicted effect of each arm against `control`, costs included.
    scores : array of shape (n, arms)
        Row scores of the outcome under each arm (see `row_scores`), costs deducted.
    """
    offered = effect.copy()
    offered[:, control] = -np.inf
    best = offered.argmax(axis=1)
    rows = np.arange(len(effect))
    gain = scores[rows, best] - scores[:, control]
    return uplift_curve(offered[rows, best], gain, fold=fold, group=group)


def calibration(
    predicted: Floats, gain: Floats, *, fold: Ints | None = None, bins: int = 10
) -> Calibration:
    """Compare predicted effects with row scores, by decile within folds and as a slope.

    Parameters
    ----------
    predicted : array of shape (n,)
        Predicted effect of one arm against another.
    gain : array of shape (n,)
        Row scores of that effect.
    """
    fold = np.zeros(len(predicted), dtype=np.int64) if fold is None else fold
    decile = np.minimum((rank_share(-predicted, fold) * bins).astype(np.int64), bins - 1)
    deciles = pl.DataFrame({"decile": decile + 1, "predicted": predicted, "gain": gain})
    table = (
        deciles.group_by("decile")
        .agg(
            pl.len().alias("rows"),
            pl.col("predicted").mean(),
            pl.col("gain").mean().alias("estimated"),
            (pl.col("gain").std() / pl.len().sqrt()).alias("standard_error"),
        )
        .sort("decile")
    )
    slope, error = _slope(_within(predicted, fold), _within(gain, fold))
    return Calibration(table, slope, error)


def _within(values: Floats, fold: Ints) -> Floats:
    _, code = np.unique(fold, return_inverse=True)
    means = np.bincount(code, weights=values) / np.bincount(code)
    return np.asarray(values - means[code])


def _slope(x: Floats, y: Floats) -> tuple[float, float]:
    """Return a least-squares slope through the origin with its robust standard error."""
    spread = float(x @ x)
    if spread <= 1e-18 * max(len(x), 1):
        return 0.0, 0.0
    slope = float(x @ y) / spread
    return slope, float(np.sqrt(np.square(x * (y - slope * x)).sum())) / spread
