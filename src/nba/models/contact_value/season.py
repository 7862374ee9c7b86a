"""When the shop's demand stands above usual: festivals and seasons of gifts, by its own sales.

A day counts as far as demand around some day of the days to come stands above that of the quarter
around it, less what a small shop's noise makes, so that noise is not taken for a season. What is
still to come is taken from the year before; with less than a year on record it is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl

from nba.arrays import Floats, Ints
from nba.models.purchases import day_numbers
from nba.models.timing.season import YEAR_DAYS

#: Days over which demand is averaged, and over which the usual demand is a median.
SMOOTH_DAYS: Final = 7
USUAL_DAYS: Final = 91
#: Days ahead in which a season may begin, to count today.
AHEAD_DAYS: Final = 10
#: Standard errors by which demand has to stand above usual to count at all.
SURELY: Final = 2.5
#: Demand so far above that, as a share of what is usual, counts fully.
FULL: Final = 0.15
#: Purchases that are counted, about: those of every n-th customer of more.
LARGEST: Final = 2_000_000
#: Fewest days on record that say what is usual.
LEAST_DAYS: Final = 60


@dataclass(frozen=True)
class DemandSeason:
    """How demand of single days stands to usual.

    Parameters
    ----------
    first : int
        Day of the first value, in days since 1970.
    level : array of shape (days,)
        Demand of each day over what was usual around it.
    height : array of shape (days,)
        Between 0 and 1: how far the day is one of a season.
    """

    first: int
    level: Floats
    height: Floats

    @classmethod
    def none(cls) -> Self:
        """Return no season: nothing is on record."""
        return cls(0, np.zeros(0), np.zeros(0))

    @classmethod
    def of(cls, purchases: pl.DataFrame) -> Self:
        """Return the season of a shop.

        Parameters
        ----------
        purchases : DataFrame
            `customer_id`, `ts` of each purchase.
        """
        every = -(-purchases.height // LARGEST) or 1
        daily = (
            purchases.filter(pl.col("customer_id").hash(0) % every == 0)
            .select("customer_id", day=pl.col("ts").cast(pl.Datetime("us")).dt.date())
            .drop_nulls("day")
            .unique()
            .group_by("day")
            .len()
            .sort("day")
        )
        if daily.is_empty():
            return cls.none()
        number = day_numbers(daily["day"])
        count = np.zeros(int(number[-1] - number[0]) + 1)
        if len(count) < LEAST_DAYS:
            return cls.none()
        count[number - number[0]] = daily["len"].to_numpy()
        smooth = pl.Series(count).rolling_mean(SMOOTH_DAYS, min_samples=1, center=True)
        usual = smooth.rolling_median(USUAL_DAYS, min_samples=1, center=True).to_numpy()
        usual = np.maximum(usual, 1.0 / SMOOTH_DAYS)
        level = smooth.to_numpy() / usual
        error = np.sqrt(np.maximum(level, 1.0) / (usual * SMOOTH_DAYS))
        height = np.clip((level - 1.0 - SURELY * error) / FULL, 0.0, 1.0)
        return cls(int(number[0]), level, height)

    def at(self, days: Ints) -> Floats:
        """Return how far a season stands at each day or begins soon, between 0 and 1.

        Parameters
        ----------
        days : int array
            Days since 1970, past or to come.
        """
        ahead = [self._of(self.height, days + t, 0.0) for t in range(AHEAD_DAYS + 1)]
        return np.asarray(np.max(ahead, axis=0))

    def demand(self, days: Ints, over: int) -> Floats:
        """Return the log of demand over usual, in the mean of so many days from each day on."""
        mean = np.mean([self._of(self.level, days + t, 1.0) for t in range(over)], axis=0)
        return np.asarray(np.log(np.maximum(mean, 0.1)))

    def _of(self, values: Floats, days: Ints, otherwise: float) -> Floats:
        """Return the value of each day, of a year before where it is still to come."""
        place = days - self.first
        late = np.maximum(-(-(place - len(values) + 1) // YEAR_DAYS), 0)
        place = place - late * YEAR_DAYS
        known = (place >= 0) & (place < len(values))
        found = np.append(values, otherwise)[np.where(known, place, len(values))]
        return np.asarray(found, dtype=np.float64)

    def state(self) -> dict[str, Any]:
        """Return what `read` makes the same of."""
        return {"first": self.first, "level": self.level.tolist(), "height": self.height.tolist()}

    @classmethod
    def read(cls, state: dict[str, Any]) -> Self:
        """Return what `state` holds."""
        return cls(int(state["first"]), np.array(state["level"]), np.array(state["height"]))
