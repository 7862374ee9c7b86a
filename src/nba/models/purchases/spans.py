"""Spans between purchases: recency and gaps before a cut-off, and what followed it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nba.arrays import Bools, Floats, Ints
from nba.models.purchases.days import PurchaseDays


@dataclass(frozen=True)
class PurchaseSummary:
    """What is known of each entity at a cut-off; arrays of shape (entities,).

    Entities without a purchase before the cut-off have `count` 0 and NaN elsewhere.
    """

    count: Ints
    first: Floats
    last: Floats
    days_since: Floats
    gap_median: Floats
    amount: Floats
    margin: Floats


def summarise_purchases(log: PurchaseDays, cutoff: int) -> PurchaseSummary:
    """Return recency, count, median gap and sums per entity before `cutoff`."""
    begin, end = log.start[:-1], log.first_row_from(cutoff)
    count = end - begin
    some = count > 0
    first = np.full(log.entities, np.nan)
    last = np.full(log.entities, np.nan)
    first[some] = log.day[begin[some]]
    last[some] = log.day[end[some] - 1]
    return PurchaseSummary(
        count,
        first,
        last,
        cutoff - last,
        gap_medians(log, end),
        _sum_before(log, log.amount, cutoff),
        _sum_before(log, log.margin, cutoff),
    )


def _sum_before(log: PurchaseDays, values: Floats, cutoff: int) -> Floats:
    seen = log.day < cutoff
    total = np.bincount(log.entity[seen], weights=values[seen], minlength=log.entities)
    return np.asarray(total, dtype=np.float64)


def gap_medians(log: PurchaseDays, end: Ints) -> Floats:
    """Return the median gap between purchase days up to row `end`; NaN with fewer than two."""
    entity = log.entity
    inner = np.zeros(len(log.day), dtype=bool)
    rows = np.arange(len(log.day))
    inner[1:] = entity[1:] == entity[:-1]
    inner &= rows < end[entity] if len(entity) else False
    gap = np.diff(log.day, prepend=0)[inner].astype(np.float64)
    owner = entity[inner]
    gap = gap[np.lexsort((gap, owner))]
    count = np.bincount(owner, minlength=log.entities)
    begin = np.concatenate([[0], np.cumsum(count)])[:-1]
    median = np.full(log.entities, np.nan)
    some = count > 0
    low = begin[some] + (count[some] - 1) // 2
    high = begin[some] + count[some] // 2
    median[some] = (gap[low] + gap[high]) / 2
    return median


@dataclass(frozen=True)
class FollowUp:
    """What happened after a cut-off; arrays of shape (entities,).

    `time` is days from the cut-off to the end of the day of the next purchase (1 is the
    day of the cut-off itself), or to the end of the follow-up where `event` is false.
    """

    time: Ints
    event: Bools


def follow_up(log: PurchaseDays, cutoff: int, until: int) -> FollowUp:
    """Return the time to the next purchase in `[cutoff, until)`, censored at `until`."""
    end = log.first_row_from(cutoff)
    has_next = end < log.start[1:]
    following = np.full(log.entities, until, dtype=np.int64)
    following[has_next] = log.day[end[has_next]]
    event = following < until
    time = np.where(event, following - cutoff + 1, until - cutoff)
    return FollowUp(time, event)


def purchases_between(log: PurchaseDays, cutoff: int, until: int) -> Ints:
    """Return the number of days with a purchase in `[cutoff, until)` per entity."""
    return log.first_row_from(until) - log.first_row_from(cutoff)
