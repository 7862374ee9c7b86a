"""A ridge on piecewise-linear terms: cross-validated, closed-form, with all its fold models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nba.arrays import Floats, Ints

#: Quantiles at which a column may bend.
KNOTS = (0.2, 0.4, 0.6, 0.8)
#: A column bends only when it takes more values than this.
MIN_DISTINCT = 6
#: Penalties tried, in units of the mean squared term.
PENALTIES = tuple(np.logspace(-3.5, 2.0, 12))


@dataclass(frozen=True)
class Basis:
    """Turns raw columns (NaN allowed) into standardised terms for a linear model.

    Each column gives itself, cut at its 1st and 99th percentile; a hinge at each quintile when it
    takes enough values; and a flag for missing values when there are any.

    Parameters
    ----------
    low, high, fill : arrays of shape (columns,)
    hinge : array of shape (hinges, 2)
        Column index and knot of each hinge.
    flag : int array
        Columns with missing values.
    mean, scale : arrays of shape (terms,)
    """

    low: Floats
    high: Floats
    fill: Floats
    hinge: Floats
    flag: Ints
    mean: Floats
    scale: Floats

    @classmethod
    def fit(cls, x: Floats) -> Basis:
        """Learn ranges, knots and scales from `x` of shape (rows, columns)."""
        columns = x.shape[1]
        low, high, fill = (np.zeros(columns) for _ in range(3))
        hinges: list[tuple[float, float]] = []
        for column in range(columns):
            known = x[:, column][~np.isnan(x[:, column])]
            if not len(known):
                continue
            low[column], fill[column], high[column] = np.quantile(known, (0.01, 0.5, 0.99))
            if low[column] == high[column]:
                low[column], high[column] = known.min(), known.max()
            if len(np.unique(known)) > MIN_DISTINCT:
                knots = np.unique(np.quantile(known, KNOTS))
                inside = knots[(knots > low[column]) & (knots < high[column])]
                hinges += [(float(column), float(knot)) for knot in inside]
        flag = np.flatnonzero(np.isnan(x).any(axis=0)).astype(np.int64)
        raw = cls(low, high, fill, np.array(hinges).reshape(-1, 2), flag, np.zeros(0), np.zeros(0))
        terms = raw._terms(x)
        scale = terms.std(axis=0) if len(terms) else np.ones(terms.shape[1])
        scale[scale < 1e-9] = np.inf
        mean = terms.mean(axis=0) if len(terms) else np.zeros(terms.shape[1])
        return cls(low, high, fill, raw.hinge, flag, mean, scale)

    def transform(self, x: Floats) -> Floats:
        """Return the standardised terms, shape (rows, terms)."""
        terms = self._terms(x)
        terms -= self.mean
        terms /= self.scale
        return terms

    def _terms(self, x: Floats) -> Floats:
        filled = np.where(np.isnan(x), self.fill, x)
        cut = np.clip(filled, self.low, self.high)
        bend = np.maximum(cut[:, self.hinge[:, 0].astype(np.int64)] - self.hinge[:, 1], 0.0)
        return np.hstack([cut, bend, np.isnan(x[:, self.flag]).astype(np.float64)])

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the state as named arrays."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class RidgePath:
    """Ridge regressions of several targets, one model per fold left out.

    Parameters
    ----------
    coefficients : array of shape (folds, terms, targets)
        Of the models that did not see the fold, at each target's best penalty.
    intercepts : array of shape (folds, targets)
    held_out : array of shape (rows, targets)
        Predictions of each row by the model that did not see it.
    """

    coefficients: Floats
    intercepts: Floats
    held_out: Floats


def ridge_path(terms: Floats, targets: Floats, fold: Ints, folds: int) -> RidgePath:
    """Fit ridges with each fold left out; the penalty has the least held-out squared error.

    Parameters
    ----------
    terms : array of shape (rows, terms)
    targets : array of shape (rows, targets)
    fold : int array of shape (rows,)
    folds : int
    """
    width, count = terms.shape[1], targets.shape[1]
    parts = [np.flatnonzero(fold == number) for number in range(folds)]
    sums = [_moments(terms[rows], targets[rows]) for rows in parts]
    total = [np.sum([part[i] for part in sums], axis=0) for i in range(4)]
    n_all = float(len(terms))
    grid = np.array(PENALTIES)
    coefficients = np.zeros((len(grid), folds, width, count))
    intercepts = np.zeros((len(grid), folds, count))
    errors = np.zeros((len(grid), count))
    for number, rows in enumerate(parts):
        n = n_all - len(rows)
        if n < 2:
            continue
        gram, cross, mean, level = (total[i] - sums[number][i] for i in range(4))
        mean, level = mean / n, level / n
        values, vectors = np.linalg.eigh(gram / n - np.outer(mean, mean))
        projected = vectors.T @ (cross / n - np.outer(mean, level))
        values = np.maximum(values, 0.0)
        for i, penalty in enumerate(grid):
            slope = vectors @ (projected / (values + penalty)[:, None])
            coefficients[i, number] = slope
            intercepts[i, number] = level - mean @ slope
            guess = terms[rows] @ slope + intercepts[i, number]
            errors[i] += np.square(targets[rows] - guess).sum(axis=0)
    best = errors.argmin(axis=0)
    chosen = np.stack([coefficients[b, :, :, j] for j, b in enumerate(best)], axis=-1)
    level = np.stack([intercepts[b, :, j] for j, b in enumerate(best)], axis=-1)
    held_out = np.zeros(targets.shape)
    for number, rows in enumerate(parts):
        held_out[rows] = terms[rows] @ chosen[number] + level[number]
    return RidgePath(chosen, level, held_out)


def _moments(terms: Floats, targets: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    return terms.T @ terms, terms.T @ targets, terms.sum(axis=0), targets.sum(axis=0)
