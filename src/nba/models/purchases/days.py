"""When was bought: a row per entity and day with a purchase, with the sums of that day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl

from nba.arrays import Bools, Floats, Ints
from nba.models.base import ModelInputs
from nba.schema.defaults import MARGIN_RATE

CUSTOMER = ("customer_id",)
CUSTOMER_CATEGORY = ("customer_id", "category")
_SPAN = 1 << 20  # days that fit into a combined key of entity and day


@dataclass(frozen=True)
class PurchaseDays:
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

    def part(self, first: int, last: int) -> Self:
        """Return entities `first` to `last` (exclusive)."""
        rows = slice(int(self.start[first]), int(self.start[last]))
        start = self.start[first : last + 1] - self.start[first]
        return self._select(self.ids[first:last], start, rows)

    def only(self, entities: Ints) -> Self:
        """Return the log of `entities` (sorted entity numbers)."""
        chosen = np.zeros(self.entities, dtype=bool)
        chosen[entities] = True
        counts = np.diff(self.start)[entities]
        return self._select(self.ids[entities], _starts(counts), chosen[self.entity])

    def before(self, cutoff: int) -> Self:
        """Return the log without what happened on or after `cutoff`; entities stay."""
        past = self.day < cutoff
        counts = np.bincount(self.entity[past], minlength=self.entities)
        return self._select(self.ids, _starts(counts), past)

    def _select(self, ids: pl.DataFrame, start: Ints, rows: Bools | slice) -> Self:
        columns = ("day", "amount", "margin", "quantity", "lines")
        return type(self)(ids, start, *(getattr(self, name)[rows] for name in columns))


def _starts(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def read_log(
    purchases: pl.DataFrame,
    *,
    as_of: datetime,
    keys: Sequence[str] = CUSTOMER,
    margin_rate: float = MARGIN_RATE,
) -> PurchaseDays:
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
    has_keys = pl.all_horizontal([pl.col(key).is_not_null() for key in keys])
    lines = (
        purchases.lazy()
        .filter(has_keys & (pl.col("ts") < as_of) & (quantity > 0) & (amount >= 0))
        .select(
            *keys,
            (pl.col("ts").dt.epoch("d").cast(pl.Int64)).alias("day"),
            amount.alias("amount"),
            margin.fill_null(amount * margin_rate).alias("margin"),
            quantity.alias("quantity"),
        )
        .sort(*keys, "day", "amount", "margin", "quantity")
        .collect()
    )
    # compared and gathered directly: on one customer's lines a query more costs a millisecond
    new = np.zeros(lines.height, dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= (lines[key][1:] != lines[key][:-1]).to_numpy()
    day = lines["day"].to_numpy().astype(np.int64)
    firsts = np.flatnonzero(new | (np.diff(day, prepend=day[:1]) != 0))
    starts = np.flatnonzero(new[firsts])
    # added in the lines' one order: a parallel sum differs in its last bits from run to run
    amounts, margins, quantities = (
        np.add.reduceat(lines[name].to_numpy(), firsts) if len(firsts) else np.zeros(0)
        for name in ("amount", "margin", "quantity")
    )
    return PurchaseDays(
        lines.select(keys)[firsts[starts]],
        np.append(starts, len(firsts)),
        day[firsts],
        amounts,
        margins,
        quantities,
        np.diff(np.append(firsts, lines.height)).astype(np.float64),
    )


def purchases_of(inputs: ModelInputs, keys: Sequence[str] = CUSTOMER) -> pl.DataFrame:
    """Return the `purchases` table with the columns that a log of `keys` needs."""
    return inputs.require("purchases", [*keys, "ts", "amount"])
