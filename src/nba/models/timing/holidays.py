"""What holidays do to a day's purchases: learned per holiday and for its eve, shrunk to nothing.

A day is compared with the days around it, its weekday taken into account. A holiday that was seen
once or twice in a small shop says little, and is shrunk by its noise: a shop that closes on one
says much. The calendar is given (`day`, `holiday`), since which days are holidays depends on the
country.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.models.purchases import PurchaseDays

#: The table of holidays among the inputs of a fit: `day`, `holiday`.
HOLIDAYS: Final = "holidays"
#: Days before a holiday that are learned together, by holiday.
EVE_DAYS: Final = 3
#: Spread of the kernel over the days around, in days.
_AROUND_DAYS: Final = 10.0
#: Variance of the effects of holidays, on the log scale, before any was seen.
_PRIOR_VARIANCE: Final = 0.25
_FEWEST_DAYS: Final = 60


@dataclass(frozen=True)
class HolidayEffects:
    """Log factor of each day from `first` on; days outside have none."""

    first: int
    factor: Floats

    @classmethod
    def none(cls) -> HolidayEffects:
        """Return effects of no holiday."""
        return cls(0, np.zeros(0))

    def at(self, days: Ints) -> Floats:
        """Return the log factor of each day."""
        if not len(self.factor):
            return np.zeros(len(days))
        place = days - self.first
        known = (place >= 0) & (place < len(self.factor))
        return np.where(known, self.factor[np.clip(place, 0, len(self.factor) - 1)], 0.0)

    def mean(self, days: Ints) -> Floats:
        """Return the log of the mean factor of rows of days, shape (rows,) for (rows, days)."""
        flat = self.at(days.ravel()).reshape(days.shape)
        return np.asarray(np.log(np.exp(flat).mean(axis=1)))


def fit_holidays(log: PurchaseDays, today: int, table: pl.DataFrame | None) -> HolidayEffects:
    """Learn the effect of each holiday, and of the days before it, from the days before `today`.

    Parameters
    ----------
    log : PurchaseDays
        What stands at or after `today` is not read.
    today : int
        Day number.
    table : polars.DataFrame or None
        `day` (a date) and `holiday`, past and coming ones; None without a calendar.
    """
    past = log.day[log.day < today]
    if table is None or table.is_empty() or not len(past) or today - past.min() < _FEWEST_DAYS:
        return HolidayEffects.none()
    first = int(past.min())
    keys = _keys(table, first)
    count = np.bincount(past - first, minlength=today - first).astype(np.float64)
    usual = np.array([not key for key in keys[: len(count)]])
    if usual.sum() < _FEWEST_DAYS:
        return HolidayEffects.none()
    expected = _expected(count, usual)
    away = np.log((count + 0.5) / (expected + 0.5))
    noise = max(0.0, float(np.var(away[usual]) - np.mean(1.0 / (expected[usual] + 0.5))))
    effects = {
        key: _shrunken(away[at], expected[at], noise)
        for key in sorted(set(keys[: len(count)]) - {""})
        if len(at := np.flatnonzero(np.array([other == key for other in keys[: len(count)]])))
    }
    return HolidayEffects(first, np.array([effects.get(key, 0.0) for key in keys]))


def _keys(table: pl.DataFrame, first: int) -> list[str]:
    """Return per day from `first` on which holiday it is, or the eve of which; "" for none."""
    number = table["day"].cast(pl.Date).to_physical().to_numpy().astype(np.int64) - first
    order = np.argsort(number, kind="stable")
    named = list(zip(number[order], table["holiday"].cast(pl.String).gather(order), strict=True))
    keys = [""] * (int(number.max()) + 1 if len(number) else 0)
    for day, name in named:
        for before in range(EVE_DAYS, 0, -1):
            if 0 <= day - before < len(keys):
                keys[day - before] = f"before {name}"
    for day, name in named:
        if 0 <= day < len(keys):
            keys[day] = name
    return keys


def _expected(count: Floats, usual: Bools) -> Floats:
    """Return what each day sells by its weekday and the usual days around it."""
    weekday = np.arange(len(count)) % 7
    days = np.bincount(weekday[usual], minlength=7)
    share = (np.bincount(weekday[usual], weights=count[usual], minlength=7) + 0.5) / (days + 0.5)
    around = np.arange(-int(3 * _AROUND_DAYS), int(3 * _AROUND_DAYS) + 1)
    kernel = np.exp(-0.5 * (around / _AROUND_DAYS) ** 2)
    sold, typical = (
        np.convolve(values * usual, kernel, mode="full")[len(kernel) // 2 :][: len(count)]
        for values in (count, share[weekday])
    )
    return np.asarray(share[weekday] * (sold + 1e-9) / (typical + 1e-9))


def _shrunken(away: Floats, expected: Floats, noise: float) -> float:
    """Return the mean of log ratios, shrunk to 0 by the noise of each."""
    precision = expected / (1.0 + noise * expected)
    return float((precision @ away) / (precision.sum() + 1.0 / _PRIOR_VARIANCE))
