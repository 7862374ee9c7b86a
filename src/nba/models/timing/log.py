"""The purchase log: who bought on which day, in arrays that every timing model reads.

One row per entity (a customer, or a customer in a category) and day with a purchase.
All history before a cut-off is a prefix of each entity's rows, so that features and
labels at many past cut-offs cost a binary search, not a pass over the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Annotated

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from nba.arrays import Floats, Ints
from nba.models.base import ModelConfig, ModelInputs

EPOCH = date(1970, 1, 1)
CUSTOMER = ("customer_id",)
CUSTOMER_CATEGORY = ("customer_id", "category")
_SPAN = 1 << 20  # days that fit into a combined key of entity and day


def day_number(as_of: datetime | date) -> int:
    """Return the day of `as_of` as days since 1970-01-01.

    >>> day_number(datetime(1970, 1, 3))
    2
    """
    return (date(as_of.year, as_of.month, as_of.day) - EPOCH).days


class MoneyConfig(ModelConfig):
    """What every timing model needs to turn purchases into money."""

    margin_rate: Annotated[
        float, Field(ge=0, le=1, description="gross margin where purchases do not state it")
    ] = 0.3
    value_prior: Annotated[
        float, Field(gt=0, description="weight of the mean purchase, in own purchases")
    ] = 2.0


@dataclass(frozen=True)
class PurchaseLog:
    """Days with a purchase per entity, sorted by entity and day.

    Parameters
    ----------
    ids : polars.DataFrame
        The key columns of the n entities, sorted.
    start : array of int, shape (n + 1,)
        Rows of entity i are `start[i]:start[i + 1]`.
    day : array of int, shape (rows,)
        Day number (days since 1970-01-01).
    amount, margin, quantity : arrays of float, shape (rows,)
        Sums of that day.
    lines : array of float, shape (rows,)
        Purchase lines of that day.
    """

    ids: pl.DataFrame
    start: Ints
    day: Ints
    amount: Floats
    margin: Floats
    quantity: Floats
    lines: Floats

    @property
    def entities(self) -> int:
        """Number of entities."""
        return len(self.start) - 1

    @cached_property
    def entity(self) -> Ints:
        """Entity number of each row."""
        return np.repeat(np.arange(self.entities), np.diff(self.start))

    @cached_property
    def _key(self) -> Ints:
        return self.entity * _SPAN + self.day

    def first_row_from(self, cutoff: int) -> Ints:
        """Return, per entity, the first row with `day >= cutoff` (the end of its history)."""
        return self._search(np.full(self.entities, cutoff, dtype=np.int64))

    def _search(self, days: Ints) -> Ints:
        return np.searchsorted(self._key, np.arange(self.entities) * _SPAN + days).astype(np.int64)

    def part(self, first: int, last: int) -> PurchaseLog:
        """Return entities `first` to `last` (exclusive)."""
        rows = slice(int(self.start[first]), int(self.start[last]))
        return PurchaseLog(
            self.ids[first:last],
            self.start[first : last + 1] - self.start[first],
            self.day[rows],
            self.amount[rows],
            self.margin[rows],
            self.quantity[rows],
            self.lines[rows],
        )

    def only(self, entities: Ints) -> PurchaseLog:
        """Return the log of `entities` (sorted entity numbers)."""
        chosen = np.zeros(self.entities, dtype=bool)
        chosen[entities] = True
        rows = chosen[self.entity]
        counts = np.diff(self.start)[entities]
        return PurchaseLog(
            self.ids[entities],
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            self.day[rows],
            self.amount[rows],
            self.margin[rows],
            self.quantity[rows],
            self.lines[rows],
        )

    def before(self, cutoff: int) -> PurchaseLog:
        """Return the log without what happened on or after `cutoff`; entities stay."""
        keep = self.day < cutoff
        counts = np.bincount(self.entity[keep], minlength=self.entities)
        return PurchaseLog(
            self.ids,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            self.day[keep],
            self.amount[keep],
            self.margin[keep],
            self.quantity[keep],
            self.lines[keep],
        )


def read_log(
    purchases: pl.DataFrame,
    *,
    as_of: datetime,
    keys: Sequence[str] = CUSTOMER,
    margin_rate: float = 0.3,
) -> PurchaseLog:
    """Fold purchase lines to entity-days before `as_of`.

    Parameters
    ----------
    purchases : polars.DataFrame
        `customer_id`, `ts` (naive local), `amount`; `quantity` (lines below zero are
        returns and no purchases), `margin` and the other key columns where there.
    as_of : datetime
        What has `ts >= as_of` is not visible.
    keys : sequence of str
        The columns that make an entity.
    margin_rate : float
        Gross margin where there is no `margin`.
    """
    has = set(purchases.columns)
    amount = pl.col("amount").cast(pl.Float64).fill_null(0.0)
    quantity = pl.col("quantity").cast(pl.Float64) if "quantity" in has else pl.lit(1.0)
    margin = pl.col("margin").cast(pl.Float64) if "margin" in has else pl.lit(None)
    kept = pl.all_horizontal([pl.col(key).is_not_null() for key in keys])
    days = (
        purchases.lazy()
        .filter(kept & (pl.col("ts") < as_of) & (quantity > 0) & (amount >= 0))
        .select(
            *keys,
            (pl.col("ts").dt.epoch("d").cast(pl.Int64)).alias("day"),
            amount.alias("amount"),
            margin.fill_null(amount * margin_rate).alias("margin"),
            quantity.alias("quantity"),
        )
        .group_by(*keys, "day")
        .agg(
            pl.col("amount").sort().sum(),
            pl.col("margin").sort().sum(),
            pl.col("quantity").sort().sum(),
            pl.len().cast(pl.Float64).alias("lines"),
        )
        .sort(*keys, "day")
        .collect()
    )
    # compared and gathered directly: on one customer's lines a query more costs a millisecond
    new = np.zeros(days.height, dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= (days[key][1:] != days[key][:-1]).to_numpy()
    starts = np.flatnonzero(new)
    return PurchaseLog(
        pl.DataFrame([days[key] for key in keys])[starts],
        np.append(starts, days.height),
        days["day"].to_numpy().astype(np.int64),
        *(days[name].to_numpy() for name in ("amount", "margin", "quantity", "lines")),
    )


def purchases_of(inputs: ModelInputs, keys: Sequence[str] = CUSTOMER) -> pl.DataFrame:
    """Return the `purchases` table with the columns that a log of `keys` needs."""
    return inputs.require("purchases", [*keys, "ts", "amount"])


@dataclass(frozen=True)
class History:
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


def history(log: PurchaseLog, cutoff: int) -> History:
    """Return recency, count, median gap and sums per entity before `cutoff`."""
    begin, end = log.start[:-1], log.first_row_from(cutoff)
    count = end - begin
    some = count > 0
    first = np.full(log.entities, np.nan)
    last = np.full(log.entities, np.nan)
    first[some] = log.day[begin[some]]
    last[some] = log.day[end[some] - 1]
    return History(
        count,
        first,
        last,
        cutoff - last,
        gap_medians(log, end),
        _sum_before(log, log.amount, cutoff),
        _sum_before(log, log.margin, cutoff),
    )


def _sum_before(log: PurchaseLog, values: Floats, cutoff: int) -> Floats:
    seen = log.day < cutoff
    total = np.bincount(log.entity[seen], weights=values[seen], minlength=log.entities)
    return np.asarray(total, dtype=np.float64)


def gap_medians(log: PurchaseLog, end: Ints) -> Floats:
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
    event: NDArray[np.bool_]


def follow_up(log: PurchaseLog, cutoff: int, until: int) -> FollowUp:
    """Return the time to the next purchase in `[cutoff, until)`, censored at `until`."""
    end = log.first_row_from(cutoff)
    has_next = end < log.start[1:]
    following = np.full(log.entities, until, dtype=np.int64)
    following[has_next] = log.day[end[has_next]]
    event = following < until
    time = np.where(event, following - cutoff + 1, until - cutoff)
    return FollowUp(time, event)


def purchases_between(log: PurchaseLog, cutoff: int, until: int) -> Ints:
    """Return the number of days with a purchase in `[cutoff, until)` per entity."""
    return log.first_row_from(until) - log.first_row_from(cutoff)
