"""Curves that say what came: a factor on the hazard per period and per kind of customer.

A backtest counts, in each period of the curve, the buyers that the curves expected and those who
came, apart for customers who had bought once, a few times and often. What one kind of customer
came more often than the others in a period is expected again, shrunk where there are few. How
much more often all came is for the most part the season of the backtested weeks, which has
a forecast of its own: a quarter of it is expected again, over all periods together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from nba.arrays import Bools, Floats, Ints

#: Purchase days from which on the second and the third kind of customer count.
KIND_EDGES: Final = (2, 5)
KINDS: Final = len(KIND_EDGES) + 1
#: Buyers who come as expected that are added to each kind in each period.
_PRIOR_BUYERS: Final = 60.0
#: Share of the shop's level in the backtest that is expected again.
_LEVEL_TRUST: Final = 0.25
_LEAST: Final = 1e-300


@dataclass(frozen=True)
class Corrected:
    """Factors on the hazard.

    Parameters
    ----------
    ends : tuple of int
        Days on which the periods end; the last factor goes on beyond them.
    factors : tuple of tuple of float
        By kind of customer, then by period; empty where nothing was backtested.
    """

    ends: tuple[int, ...] = ()
    factors: tuple[tuple[float, ...], ...] = ()

    def survival(self, survival: Floats, purchase_days: Floats) -> Floats:
        """Return corrected curves.

        Parameters
        ----------
        survival : array, shape (n, days + 1)
            P(no purchase in the first t days), column t.
        purchase_days : array, shape (n,)
            Days with a purchase that each customer has had.
        """
        if not self.factors:
            return survival
        period = _period_of_day(self.ends, survival.shape[1] - 1)
        daily = np.array(self.factors)[:, period]
        hazards = np.diff(-np.log(np.maximum(survival, _LEAST)), axis=1)
        reached = np.cumsum(hazards * daily[kind_of(purchase_days)], axis=1)
        return np.concatenate([survival[:, :1], np.exp(-reached)], axis=1)


def kind_of(purchase_days: Floats | Ints) -> Ints:
    """Return which kind each customer is, by days with a purchase, shape (n,)."""
    return np.searchsorted(KIND_EDGES, purchase_days, side="right").astype(np.int64)


def _period_of_day(ends: Sequence[int], days: int) -> Ints:
    inside = np.searchsorted(ends, np.arange(1, days + 1), side="left")
    return np.minimum(inside, len(ends) - 1)


def buyers_by_period(
    survival: Floats, time: Ints, event: Bools, purchase_days: Ints, ends: Sequence[int]
) -> tuple[Floats, Floats]:
    """Return expected and actual buyers by kind and period, shape (KINDS, periods).

    Expected is the cumulative hazard of each customer up to the purchase or the end of the period.

    Parameters
    ----------
    survival : array, shape (n, days + 1)
    time : array of int, shape (n,)
        Days to the next purchase, or to the end of the backtest.
    event : array of bool, shape (n,)
    purchase_days : array of int, shape (n,)
        Days with a purchase before.
    ends : sequence of int
        Days on which the periods end; the last one is no later than the backtest.
    """
    reached = -np.log(np.maximum(survival, _LEAST))
    rows, kind = np.arange(len(time)), kind_of(purchase_days)
    expected, came = np.zeros((KINDS, len(ends))), np.zeros((KINDS, len(ends)))
    begin = 0
    for column, end in enumerate(ends):
        risk = reached[rows, np.minimum(time, end)] - reached[rows, np.minimum(time, begin)]
        bought = event & (time > begin) & (time <= end)
        expected[:, column] = np.bincount(kind, weights=risk, minlength=KINDS)
        came[:, column] = np.bincount(kind[bought], minlength=KINDS)
        begin = end
    return expected, came


def corrected_by(expected: Floats, came: Floats, ends: Sequence[int]) -> Corrected:
    """Return the factors that expected and actual buyers call for.

    Parameters
    ----------
    expected, came : arrays, shape (KINDS, periods)
    ends : sequence of int
        Days on which the periods end.
    """
    level = (came.sum() + _PRIOR_BUYERS) / (expected.sum() + _PRIOR_BUYERS)
    period = came.sum(axis=0) / np.maximum(expected.sum(axis=0), _LEAST)
    of_kind = (came + _PRIOR_BUYERS) / (expected * period + _PRIOR_BUYERS)
    factors = level**_LEVEL_TRUST * of_kind
    return Corrected(tuple(int(end) for end in ends), tuple(map(tuple, factors.tolist())))
