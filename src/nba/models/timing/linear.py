"""The linear parts of the hazard: ridge logistic and ridge Poisson regression by Newton.

A few dozen coefficients on logarithms of the same features. They see little, but they
carry on smoothly where trees stop, and their errors are not those of the trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from nba.models.timing.panel import NAMES, SEASON, YEAR_TELLING, expit

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: Taken as they are; everything else as log(0.1 + x).
_PLAIN: Final = frozenset(
    name
    for name in NAMES
    if name.startswith(("p_", "hazard_", "season_")) or name in ("recency_share", "period")
)
_LEFT_OUT: Final = frozenset(
    {"period", "days_since_purchase_at_period", "p_alive_bg", "gap_days_median", "overdue_median"}
)
_USED: Final = [i for i, name in enumerate(NAMES) if name not in _LEFT_OUT and name not in SEASON]
_POSITION: Final = {NAMES[i]: k for k, i in enumerate(_USED)}
_BY_PERIOD: Final = [
    _POSITION[n] for n in ("hazard_bg", "hazard_regular", "days_since_purchase", "overdue_shrunk")
]
_CURVED: Final = [*_BY_PERIOD, _POSITION["amount_365d"], _POSITION["purchase_days"]]
_MAYBE: Final = [_POSITION["gap_days_mean"], _POSITION["gap_variation"]]
_PERIOD: Final = NAMES.index("period")
_SEASON: Final = [NAMES.index(name) for name in SEASON]
_CLIP: Final = 4.0
_RIDGE: Final = 10.0


@dataclass(frozen=True)
class Scale:
    """Mean and spread of the transformed columns."""

    mean: Floats
    spread: Floats


#: Positions of the used columns that differ from period to period.
_MOVING: Final = [
    _POSITION[n] for n in ("overdue_at_period", "hazard_bg", "hazard_regular") if n in _POSITION
]


def _transformed(rows: Singles, positions: Sequence[int]) -> Floats:
    values = rows[:, [_USED[k] for k in positions]].astype(np.float64)
    for column, k in enumerate(positions):
        if NAMES[_USED[k]] not in _PLAIN:
            values[:, column] = np.log(np.maximum(values[:, column], 0.0) + 0.1)
    return values


def transformed(rows: Singles, earlier: Floats | None = None) -> Floats:
    """Return the used columns on the scale of the regression.

    `earlier` is the result for the same customers in another period: only what differs
    between periods is then computed again.
    """
    if earlier is None:
        return _transformed(rows, range(len(_USED)))
    values = earlier.copy()
    values[:, _MOVING] = _transformed(rows, _MOVING)
    return values


def scale_of(rows: Singles) -> Scale:
    """Return the scale of `rows`; columns without a value get 0 and 1."""
    values = transformed(rows)
    there = ~np.isnan(values)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, values, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(there, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return Scale(mean, np.where(spread > 1e-9, spread, 1.0))


def design(
    rows: Singles, scale: Scale, *, periods: int, season: bool, values: Floats | None = None
) -> Floats:
    """Return the design matrix of person-period rows; the columns of the season come last.

    `values` are the rows `transformed`, where that has been done already.
    """
    z = ((transformed(rows) if values is None else values) - scale.mean) / scale.spread
    missing = np.isnan(z)
    z = np.clip(np.nan_to_num(z), -_CLIP, _CLIP)
    period = (rows[:, _PERIOD][:, None] == np.arange(periods)).astype(np.float64)
    parts = [period, z, missing[:, _MAYBE].astype(np.float64)]
    parts += [z[:, [k]] * period[:, 1:] for k in _BY_PERIOD]
    parts.append(z[:, _CURVED] ** 2)
    if season:
        parts.append(rows[:, _SEASON].astype(np.float64))
    return np.column_stack(parts)


def blinded(matrix: Floats, periods: int) -> Floats:
    """Blank, in place, the columns that tell the year: beside the season they mislead."""
    matrix[:, [periods + _POSITION[name] for name in YEAR_TELLING]] = 0.0
    return matrix


def fit_logistic(matrix: Floats, label: Floats, *, ridge: float = _RIDGE) -> Floats:
    """Return the coefficients of a ridge logistic regression."""
    half = matrix.astype(np.float32)  # the sums of squares need no more, and take half the time
    beta = np.zeros(half.shape[1])
    penalty = np.full(half.shape[1], ridge)
    for _ in range(15):
        p = expit((half @ beta.astype(np.float32)).astype(np.float64))
        weight = np.maximum(p * (1.0 - p), 1e-5).astype(np.float32)
        curvature = ((half * weight[:, None]).T @ half).astype(np.float64)
        slope = (half.T @ (label - p).astype(np.float32)).astype(np.float64) - penalty * beta
        step = np.linalg.solve(curvature + np.diag(penalty), slope)
        beta += step
        if np.abs(step).max() < 1e-4:
            break
    return beta


def fit_poisson(matrix: Floats, count: Floats, offset: Floats, *, ridge: float) -> Floats:
    """Return the coefficients of a ridge Poisson regression with a given log offset."""
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
