"""Bootstrap intervals, resampled by customer (or whatever the independent unit is)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nba.arrays import Ints

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate with the interval around it."""

    estimate: float
    lower: float
    upper: float

    def as_dict(self) -> dict[str, float]:
        """Return plain numbers for a result file."""
        return {"estimate": self.estimate, "lower": self.lower, "upper": self.upper}


def resamples(units: int, *, draws: int, seed: int) -> list[Ints]:
    """Return `draws` samples of `units` rows with replacement."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, units, units) for _ in range(draws)]


def groups_as_rows(groups: NDArray[Any]) -> list[Ints]:
    """Return the rows of each distinct group, so that a draw takes all rows of a customer."""
    _, inverse = np.unique(groups, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(inverse[order])) + 1)


def bootstrap(
    statistic: Callable[[Ints], Mapping[str, float]],
    units: int,
    *,
    draws: int = 200,
    seed: int,
    level: float = LEVEL,
    groups: NDArray[Any] | None = None,
) -> dict[str, Interval]:
    """Return percentile intervals of several statistics at once (Efron, 1979).

    Parameters
    ----------
    statistic : callable
        Takes row numbers and returns named values; called once on all rows for the estimate.
    units : int
        Number of rows, each an independent unit, unless `groups` says which belong together.
    groups : array, optional
        Customer of each row; customers are drawn, with all their rows.

    Notes
    -----
    Compare two models by a statistic that is their difference on the same rows: intervals
    of two models that overlap say little about the difference.
    """
    estimate = statistic(np.arange(units))
    if groups is None:
        samples = resamples(units, draws=draws, seed=seed)
    else:
        members = groups_as_rows(groups)
        samples = [
            np.concatenate([members[i] for i in picked])
            for picked in resamples(len(members), draws=draws, seed=seed)
        ]
    values = [statistic(rows) for rows in samples]
    tail = (1.0 - level) / 2.0
    result = {}
    for name, value in estimate.items():
        drawn = np.array([v[name] for v in values], dtype=np.float64)
        drawn = drawn[~np.isnan(drawn)]
        lower, upper = np.quantile(drawn, [tail, 1.0 - tail]) if len(drawn) else (value, value)
        result[name] = Interval(float(value), float(lower), float(upper))
    return result
