"""When each customer reads: a few habits over the hours of the day, and how likely each is.

Single customers are asked too rarely for a curve of their own. Customers share a few habits (read
at lunch, read at night, read little at all), each a chance of a read per band of hours, found by
expectation and maximisation over all counts; a customer's curve is the mean of the habits, weighed
by how well each explains what that customer read. Without any record it is the usual curve.

References
----------
Dempster, Laird, Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from scipy.special import logsumexp

from nba.arrays import Floats
from nba.schema.words import HOUR_BANDS

HOURS: Final = 24
#: Columns of the view `customer_contact`.
SENT: Final = tuple(f"sent_{band}_365d" for band in HOUR_BANDS)
READ: Final = tuple(f"read_{band}_365d" for band in HOUR_BANDS)
#: With fewer contacts, or a smaller share of them read, nothing is said of hours.
FEWEST_SENT: Final = 200
LEAST_READ_SHARE: Final = 0.02
#: Habits begin as reading early, around midday, and late: so much above the usual chance there,
#: and so much below it elsewhere.
EARLY: Final = ("night", "morning")
MIDDAY: Final = ("noon", "afternoon")
PEAK: Final = 1.5
BESIDE: Final = 0.7
#: Contacts of the usual chance that every band of a habit is worth; customers that a habit is.
BAND_WEIGHT: Final = 20.0
HABIT_WEIGHT: Final = 5.0
_BEGINNINGS: Final = np.array(
    [
        [band in EARLY for band in HOUR_BANDS],
        [band in MIDDAY for band in HOUR_BANDS],
        [band not in (*EARLY, *MIDDAY) for band in HOUR_BANDS],
    ]
)
STEPS: Final = 60
MOST_CUSTOMERS: Final = 50_000


@dataclass(frozen=True)
class HourHabits:
    """The habits of a shop's customers.

    Parameters
    ----------
    share : array of shape (habits,)
        How many customers have each.
    chance : array of shape (habits, bands)
        Of a read, by habit and band.
    """

    share: Floats
    chance: Floats

    @classmethod
    def none(cls) -> Self:
        """Return what is known before any contact: nothing."""
        return cls(np.zeros(0), np.zeros((0, len(HOUR_BANDS))))

    @classmethod
    def of(cls, contact: pl.DataFrame, seed: int = 0) -> Self:
        """Return the habits of the customers of the view `customer_contact`, one row each."""
        sent, read = _counts(contact)
        total = sent.sum()
        if total < FEWEST_SENT or not LEAST_READ_SHARE < read.sum() / total < 1 - LEAST_READ_SHARE:
            return cls.none()
        known = np.flatnonzero(sent.sum(axis=1) > 0)
        if len(known) > MOST_CUSTOMERS:
            known = np.sort(np.random.default_rng(seed).choice(known, MOST_CUSTOMERS, False))
        return cls._fitted(sent[known], read[known])

    @classmethod
    def _fitted(cls, sent: Floats, read: Floats) -> Self:
        overall = read.sum() / sent.sum()
        usual = (read.sum(axis=0) + BAND_WEIGHT * overall) / (sent.sum(axis=0) + BAND_WEIGHT)
        chance = np.clip(usual * np.where(_BEGINNINGS, PEAK, BESIDE), 0.005, 0.98)
        share = np.full(len(chance), 1.0 / len(chance))
        for _ in range(STEPS):
            habits = cls(share, chance)
            weight = habits._weights(sent, read)
            seen = weight.T @ sent
            chance = (weight.T @ read + BAND_WEIGHT * usual) / (seen + BAND_WEIGHT)
            chance = np.clip(chance, 0.005, 0.98)
            share = weight.sum(axis=0) + HABIT_WEIGHT
            share = share / share.sum()
        return cls(share, chance)

    def _weights(self, sent: Floats, read: Floats) -> Floats:
        """Return how likely each customer has each habit, shape (customers, habits)."""
        log = read @ np.log(self.chance).T + (sent - read) @ np.log1p(-self.chance).T
        log = log + np.log(self.share)
        return np.asarray(np.exp(log - logsumexp(log, axis=1, keepdims=True)))

    @property
    def is_known(self) -> bool:
        """Whether hours can be told apart at all."""
        return len(self.share) > 0

    def curves(self, contact: pl.DataFrame) -> pl.DataFrame:
        """Return `customer_id, reach`: the chance of a read in each hour of the day, a list of 24.

        `reach` is null where nothing is known of hours.
        """
        ids = contact.select("customer_id")
        if not self.is_known or contact.is_empty():
            return ids.with_columns(reach=pl.lit(None, pl.List(pl.Float64)))
        by_band = self._weights(*_counts(contact)) @ self.chance
        by_hour = by_band[:, _band_of_hour()].round(6)
        reach = pl.Series("reach", by_hour, dtype=pl.Array(pl.Float64, HOURS))
        return ids.with_columns(reach.cast(pl.List(pl.Float64)))

    def state(self) -> dict[str, Any]:
        """Return what is kept of it, as JSON has it."""
        return {name: value.tolist() for name, value in asdict(self).items()}

    @classmethod
    def read(cls, state: dict[str, Any]) -> Self:
        """Read what `state` returned."""
        chance = np.array(state["chance"], dtype=np.float64).reshape(-1, len(HOUR_BANDS))
        return cls(np.array(state["share"], dtype=np.float64), chance)


def _band_of_hour() -> np.ndarray:
    """Return the band of each hour of the day."""
    starts = np.array([start for start, _ in HOUR_BANDS.values()])
    return np.searchsorted(starts, np.arange(HOURS), side="right") - 1


def _counts(contact: pl.DataFrame) -> tuple[Floats, Floats]:
    """Return contacts and reads by band, shape (customers, bands); what is absent counts none."""

    absent = [name for name in (*SENT, *READ) if name not in contact.columns]
    known = contact.with_columns(pl.lit(0.0).alias(name) for name in absent)

    def matrix(names: tuple[str, ...]) -> Floats:
        wide = known.select(pl.col(name).cast(pl.Float64).fill_null(0.0) for name in names)
        return np.asarray(wide.to_numpy(), dtype=np.float64).reshape(contact.height, len(names))

    sent, read = matrix(SENT), matrix(READ)
    return sent, np.minimum(read, sent)
