"""How the calendar moves everybody's hazard: an index of the weeks on record, and its forecast.

The index asks how many of those who bought lately bought again in a week, compared with what
customers of the same recency and frequency do in an average week. It looks back over a quarter
only, so that it means the same in the first year on record as in later ones: a hazard that
knows whole histories would take the start of the records for a season. For the same reason a week
in the first quarter on record is compared with later weeks of which no more is remembered. Models
are fitted with the index as an offset, so that what they learn of customers is free of the
calendar.

What is to come is last year's index, shrunk since one year is one draw (by how much of it came
again, where several years tell), plus what of the latest
level it does not explain. With less than a year on record there is no index: a cohort that
fades cannot be told from a season.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from nba.arrays import Floats, Ints
from nba.models.purchases import PurchaseDays, follow_up
from nba.models.timing.holidays import HolidayEffects
from nba.models.timing.panel import expit, logit

WEEK: Final = 7
#: A year of whole weeks, so that weekdays match.
YEAR_DAYS: Final = 364
#: Who bought within so many days counts as a recent customer.
MEMORY_DAYS: Final = 90
_RECENCY_EDGES: Final = np.array([7, 14, 21, 30, 45, 60])
_COUNT_EDGES: Final = np.array([2, 3, 5])
_CELLS: Final = (len(_RECENCY_EDGES) + 1) * (len(_COUNT_EDGES) + 1)
_FIRST_WEEK_DAYS: Final = 28  # after the first record: before, hardly anybody is known
#: Spread of the kernel that weeks are smoothed with, in weeks.
_SMOOTH_WEEKS: Final = 2.0
#: Half-life of the weeks that the latest level is taken from.
_LEVEL_HALF_LIFE: Final = 4.0
_LARGEST: Final = 40_000
#: One week in so many is compared with a week in the first quarter.
_EVERY_WEEK: Final = 3
#: Weight of no season at all in the weeks around one of the first quarter, in units of their
#: information.
_WEEK_PRIOR: Final = 10.0
_LEAST: Final = 1e-300


@dataclass(frozen=True)
class Season:
    """The index by week on the logit scale, and how far it is believed in.

    Parameters
    ----------
    first, today : int
        Day on which the first week begins, and the day of the fit, on which the last one ended.
    index : array, shape (weeks,)
    trust : float
        Share of last year's index that is expected to come again.
    level_trust : float
        Share of the latest level, beyond that, that is expected to stay.
    holidays : HolidayEffects
        What holidays do to single days; the index is free of it.
    """

    first: int
    today: int
    index: Floats
    trust: float
    level_trust: float
    holidays: HolidayEffects = field(default_factory=HolidayEffects.none)

    def at(self, days: Ints) -> Floats:
        """Return the shift of each day's hazard: the index of its week, and what a holiday does."""
        return self.weekly(days) + self.holidays.at(days)

    def weekly(self, days: Ints) -> Floats:
        """Return the index of each day: as it was up to the fit, a forecast from then on."""
        if not len(self.index):
            return np.zeros(len(days))
        past = self.index[np.clip((days - self.first) // WEEK, 0, len(self.index) - 1)]
        past = np.where(days < self.first, 0.0, past)
        weeks = YEAR_DAYS // WEEK
        years = np.maximum(-(-(days - self.today + 1) // YEAR_DAYS), 1)
        then = (days - years * YEAR_DAYS - self.first) // WEEK
        a_year_ago = self.index[np.clip(then, 0, len(self.index) - 1)]
        weight = 0.5 ** (np.arange(len(self.index))[::-1] / _LEVEL_HALF_LIFE)
        old, now = self.index[:-weeks], self.index[weeks:]
        # weeks without one of a year ago say nothing of what last year does not explain
        unexplained = float(weight[weeks:] @ (now - self.trust * old) / weight.sum())
        ahead = self.trust * a_year_ago + self.level_trust * unexplained
        return np.where(days >= self.today, ahead, past)

    def offsets(self, cutoff: int, edges: Ints) -> Floats:
        """Return the shift of each period between `edges`, counted from `cutoff`.

        The mean index of its days, and the log of the mean factor of their holidays.
        """
        days = cutoff + np.arange(edges[-1])
        index, factor = (
            np.diff(np.concatenate([[0.0], np.cumsum(daily)])[edges]) / np.diff(edges)
            for daily in (self.weekly(days), np.exp(self.holidays.at(days)))
        )
        return np.asarray(index + np.log(factor))

    def put_into(self, survival: Floats, cutoff: int) -> Floats:
        """Return curves from `cutoff` on that know of no season, with that of their days.

        Parameters
        ----------
        survival : array, shape (n, days + 1)
            P(no purchase in the first t days), column t.
        cutoff : int
            Day number, at or before the fit.
        """
        days = cutoff + np.arange(survival.shape[1] - 1)
        hazards = np.diff(-np.log(np.maximum(survival, _LEAST)), axis=1)
        shift = self.at(days) - self._year_before(cutoff)
        reached = np.cumsum(hazards * np.exp(shift), axis=1)
        return np.concatenate([survival[:, :1], np.exp(-reached)], axis=1)

    def turn(self, cutoff: int, days: int) -> float:
        """Return by how much the mean index of the coming days exceeds that of the year before."""
        return self.mean(cutoff, days) - self._year_before(cutoff)

    def _year_before(self, cutoff: int) -> float:
        """Return the mean index of what was learned from before `cutoff`."""
        days = np.arange(max(self.first, cutoff - YEAR_DAYS), cutoff)
        return float(self.weekly(days).mean()) if len(days) else 0.0

    def mean(self, cutoff: int, days: int) -> float:
        """Return the mean index of the `days` from `cutoff` on."""
        return float(self.offsets(cutoff, np.array([0, max(1, days)]))[0])


def fit_season(
    log: PurchaseDays,
    today: int,
    *,
    trust: float,
    level_trust: float,
    holidays: HolidayEffects | None = None,
) -> Season:
    """Fit the index on everything before `today`, week by week, smoothed and shrunk.

    Parameters
    ----------
    log : PurchaseDays
    today : int
        Day number.
    trust : float
        Share of last year's index that is expected again.
    level_trust : float
        Share of the latest level, season aside, that is expected to last.
    holidays : HolidayEffects, optional
        What holidays do; taken out of the index.
    """
    effects = holidays or HolidayEffects.none()
    nothing = Season(today, today, np.zeros(0), trust, level_trust, effects)
    if not len(log.day):
        return nothing
    first = int(log.day.min())
    starts = range(today - WEEK, first + _FIRST_WEEK_DAYS, -WEEK)[::-1]
    if today - first < YEAR_DAYS:
        return nothing
    if log.entities > _LARGEST:
        log = log.only(np.arange(0, log.entities, -(-log.entities // _LARGEST)))
    whole = [start for start in starts if start >= first + MEMORY_DAYS]
    index = _index(log, whole, effects)
    early = _early_index(log, [start for start in starts if start not in whole], whole, index)
    learned = _learned_trust(index, trust)
    index = np.concatenate([early, index])
    return Season(starts[0], today, index, learned, level_trust, effects)


def _early_index(
    log: PurchaseDays, early: Sequence[int], whole: Sequence[int], index: Floats
) -> Floats:
    """Return the index of weeks in the first quarter on record, where less can be remembered.

    Each is compared with later weeks of which no more is remembered, freed of their own index.
    """
    first = int(log.day.min())
    shifts: list[float] = []
    information: list[float] = []
    some = slice(None, None, _EVERY_WEEK)
    for start in early:
        memory = start - first
        weeks = [_week(log, other, memory) for other in whole[some]]
        there, bought = (np.array(part) for part in zip(*weeks, strict=True))
        usual = _usual(there, bought, index[some])
        mine = _week(log, start, memory)
        shift, known = _solve(usual, mine[0][None, :], mine[1].sum(keepdims=True))
        shifts.append(float(shift[0]))
        information.append(float(known[0]))
    at = np.arange(len(shifts))
    kernel = np.exp(-0.5 * ((at[:, None] - at) / _SMOOTH_WEEKS) ** 2) * np.array(information)
    return np.asarray(kernel @ np.array(shifts) / (kernel.sum(axis=1) + _WEEK_PRIOR))


def _usual(there: Floats, bought: Floats, index: Floats) -> Floats:
    """Return the logit of buying in an average week, per cell, from weeks whose index is known."""
    level = logit((bought.sum(axis=0) + 0.5) / (there.sum(axis=0) + 1.0))
    for _ in range(10):
        p = expit(level + index[:, None])
        information = (there * p * (1.0 - p)).sum(axis=0) + 0.5
        level = level + np.clip((bought - there * p).sum(axis=0) / information, -1.0, 1.0)
    return np.asarray(level)


def _index(log: PurchaseDays, starts: Sequence[int], holidays: HolidayEffects) -> Floats:
    """Return the index of the weeks that begin at `starts`, smoothed and shrunk by its noise."""
    weeks = [_week(log, start) for start in starts]
    there = np.array([week[0] for week in weeks])
    bought = np.array([week[1] for week in weeks])
    usual = logit((bought.sum(axis=0) + 0.5) / (there.sum(axis=0) + 1.0))
    at = np.arange(len(starts))
    kernel = np.exp(-0.5 * ((at[:, None] - at) / _SMOOTH_WEEKS) ** 2)
    days = np.array(starts)[:, None] + np.arange(WEEK)
    closed = kernel @ holidays.mean(days) / kernel.sum(axis=1)
    shift, information = _solve(usual, kernel @ there, kernel @ bought.sum(axis=1))
    index = shift - closed
    # the variance of a smoothed week: weights squared over the sum of weights, per information
    noise = (kernel**2).sum(axis=1) / kernel.sum(axis=1) / np.maximum(information, 1e-9)
    signal = max(0.0, float(np.var(index) - noise.mean()))
    return np.asarray(index * signal / (signal + noise))


def _learned_trust(index: Floats, believed: float) -> float:
    """Return the share of a year's index that came again a year later, shrunk to what is believed.

    What is believed weighs as much as half a year of average swings: with less than a year and a
    half on record, or none of the swings seen twice, it stands.
    """
    weeks = YEAR_DAYS // WEEK
    if len(index) <= weeks:
        return believed
    then, now = index[:-weeks] - index[:-weeks].mean(), index[weeks:] - index[weeks:].mean()
    weight = float(index.var()) * weeks / 2.0
    share = (float(then @ now) + believed * weight) / max(float(then @ then) + weight, 1e-12)
    return float(np.clip(share, 0.0, 1.0)) if weight > 0.0 else believed


def _week(log: PurchaseDays, start: int, memory_days: int = MEMORY_DAYS) -> tuple[Floats, Floats]:
    """Return, per cell of recency and frequency, who was there and who bought in the week."""
    end = log.first_row_from(start)
    count = end - log.first_row_from(start - memory_days)
    recent = count > 0
    since = start - log.day[end[recent] - 1]
    cell = np.searchsorted(_RECENCY_EDGES, since, side="left") * (len(_COUNT_EDGES) + 1)
    cell += np.searchsorted(_COUNT_EDGES, count[recent], side="right")
    bought = follow_up(log, start, start + WEEK).event[recent]
    there = np.bincount(cell, minlength=_CELLS).astype(np.float64)
    again = np.bincount(cell[bought], minlength=_CELLS).astype(np.float64)
    return there, again


def _solve(usual: Floats, there: Floats, bought: Floats) -> tuple[Floats, Floats]:
    """Return the shift per week with which the usual hazards give what was bought."""
    shift = np.zeros(len(bought))
    for _ in range(25):
        p = expit(usual + shift[:, None])
        information = (there * p * (1.0 - p)).sum(axis=1) + 1e-3
        step = (bought - (there * p).sum(axis=1) - 1e-3 * shift) / information
        shift = shift + np.clip(step, -1.0, 1.0)
    p = expit(usual + shift[:, None])
    return shift, (there * p * (1.0 - p)).sum(axis=1)
