"""Purchases as columns, the one form in which every model reads them.

`PurchaseLog` has one row per customer, day and product, in integer codes; a customer's basket is
what they bought on one day. `PurchaseDays` has one row per entity (a customer, or a customer in a
category) and day with a purchase, with the sums of that day. Both are sorted by customer and day,
so that all history before a cut-off is a prefix of an entity's rows, and features and labels at
many past cut-offs cost a binary search, not a pass over the data. Days are whole numbers; where
a log has order but no time, the position from the end stands in for the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Self

import numpy as np
import polars as pl
import scipy.sparse as sp

from nba.arrays import Bools, Floats, Ints, Reals
from nba.models.base import ModelInputs
from nba.schema.defaults import MARGIN_RATE

EPOCH = date(1970, 1, 1)
CUSTOMER = ("customer_id",)
CUSTOMER_CATEGORY = ("customer_id", "category")
_SPAN = 1 << 20  # days that fit into a combined key of entity and day


def day_number(moment: datetime | date) -> int:
    """Return the day of `moment` as days since 1970-01-01.

    >>> day_number(datetime(1970, 1, 3))
    2
    """
    return (date(moment.year, moment.month, moment.day) - EPOCH).days


@dataclass(frozen=True)
class PurchaseLog:
    """Purchases in integer codes, sorted by customer, day and product.

    Parameters
    ----------
    customer_ids, product_ids : polars.Series of str
        The ids behind the codes, sorted.
    customer, product, day : arrays of int of shape (rows,)
    unit_price : array of float of shape (rows,)
        NaN where it is not known.
    store_ids : polars.Series of str
        The ids behind the codes of `home`, sorted.
    home : array of int of shape (customers,)
        Each customer's store, -1 where it is not known.
    """

    customer_ids: pl.Series
    product_ids: pl.Series
    customer: Ints
    product: Ints
    day: Ints
    unit_price: Reals
    store_ids: pl.Series
    home: Ints

    @classmethod
    def from_purchases(
        cls,
        purchases: pl.DataFrame,
        *,
        customer_ids: pl.Series | None = None,
        product_ids: pl.Series | None = None,
    ) -> Self:
        """Build the log from a table with `customer_id`, `product_id` and `ts` (or `day`).

        Parameters
        ----------
        purchases : polars.DataFrame
            `quantity` and `amount` are used where they are there; rows with a quantity of zero
            or less are returns and no purchases.
        customer_ids, product_ids : polars.Series, optional
            The code space; rows of other ids are left out. Default: the ids in the table.
        """
        table = _daily(purchases)
        customer_ids = _codes(table["customer_id"] if customer_ids is None else customer_ids)
        product_ids = _codes(table["product_id"] if product_ids is None else product_ids)
        table = (
            table.join(_lookup(customer_ids, "customer"), on="customer_id")
            .join(_lookup(product_ids, "product"), on="product_id")
            .sort("customer", "day", "product")
        )
        return cls(
            customer_ids=customer_ids,
            product_ids=product_ids,
            customer=table["customer"].to_numpy().astype(np.int64),
            product=table["product"].to_numpy().astype(np.int64),
            day=table["day"].to_numpy().astype(np.int64),
            unit_price=table["unit_price"].to_numpy().astype(np.float64),
            store_ids=pl.Series("store_id", [], dtype=pl.String),
            home=np.full(len(customer_ids), -1),
        )

    def with_homes(self, stores: pl.DataFrame, store_ids: pl.Series | None = None) -> Self:
        """Return the log with each customer's store.

        Parameters
        ----------
        stores : polars.DataFrame
            `customer_id`, `store_id`, one row per customer.
        store_ids : polars.Series, optional
            The code space; other stores count as unknown. Default: the ids in the table.
        """
        known = stores.drop_nulls().cast(pl.String)
        ids = _codes(known["store_id"] if store_ids is None else store_ids).alias("store_id")
        homes = (
            pl.DataFrame({"customer_id": self.customer_ids})
            .join(known.join(_lookup(ids, "store"), on="store_id"), on="customer_id", how="left")
            .unique("customer_id", keep="first")
            .sort("customer_id")
        )
        codes = homes["store"].cast(pl.Int64).fill_null(-1).to_numpy()
        return replace(self, store_ids=ids, home=np.asarray(codes, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.customer)

    @property
    def n_customers(self) -> int:
        """How many customers the code space has."""
        return len(self.customer_ids)

    @property
    def n_products(self) -> int:
        """How many products the code space has."""
        return len(self.product_ids)

    def where(self, rows: Bools) -> Self:
        """Return the log with only `rows`, in the same code space."""
        return replace(
            self,
            customer=self.customer[rows],
            product=self.product[rows],
            day=self.day[rows],
            unit_price=self.unit_price[rows],
        )

    def before(self, cutoff: int) -> Self:
        """Return what was bought on days before `cutoff`."""
        return self.where(self.day < cutoff)

    def of(self, customers: Bools) -> Self:
        """Return what the customers of the mask bought, in the same code space."""
        return self.where(customers[self.customer])

    def slice(self, low: int, high: int) -> Self:
        """Return the log of the customers from `low` to `high`, counted from `low`."""
        first, last = np.searchsorted(self.customer, [low, high])
        return replace(
            self,
            customer_ids=self.customer_ids[low:high],
            home=self.home[low:high],
            customer=self.customer[first:last] - low,
            product=self.product[first:last],
            day=self.day[first:last],
            unit_price=self.unit_price[first:last],
        )

    def by_category(self, category: Ints) -> Self:
        """Return the log with categories for products, once per day; unknown ones left out.

        Parameters
        ----------
        category : array of int of shape (products,)
            The category's code per product, -1 where unknown.
        """
        known = self.where(category[self.product] >= 0)
        n, days = int(category.max(initial=0)) + 1, int(self.day.max(initial=0)) + 1
        low = int(self.day.min(initial=0))
        span = days - low
        keys = (known.customer * span + (known.day - low)) * n + category[known.product]
        first = np.unique(keys, return_index=True)[1]
        merged = known.where(np.isin(np.arange(len(known)), first))
        return replace(merged, product=category[merged.product])

    def basket_counts(self) -> Ints:
        """Return the number of baskets per customer."""
        first = self._starts_basket()
        return np.bincount(self.customer[first], minlength=self.n_customers)

    def basket_index(self) -> Ints:
        """Return per row the running number of its basket within the customer, from 0."""
        offset = np.concatenate([[0], np.cumsum(self.basket_counts())[:-1]])
        return np.asarray(self.basket_of_row() - offset[self.customer], dtype=np.int64)

    def basket_of_row(self) -> Ints:
        """Return per row the number of its basket, from 0, in the order of the log."""
        return np.asarray(np.cumsum(self._starts_basket()) - 1, dtype=np.int64)

    def baskets(self) -> sp.csr_matrix:
        """Return the baskets × products as 0/1."""
        basket = self.basket_of_row()
        shape = (int(basket.max(initial=-1)) + 1, self.n_products)
        return sp.csr_matrix((np.ones(len(self), np.float32), (basket, self.product)), shape)

    def next_baskets(self, cutoff: int, horizon: int) -> Self:
        """Return each customer's first basket in the days from `cutoff`, within `horizon`."""
        future = self.where((self.day >= cutoff) & (self.day < cutoff + horizon))
        return future.where(future.basket_index() == 0)

    def _starts_basket(self) -> Bools:
        starts = np.ones(len(self), dtype=bool)
        starts[1:] = (np.diff(self.customer) != 0) | (np.diff(self.day) != 0)
        return starts


def _daily(purchases: pl.DataFrame) -> pl.DataFrame:
    """Return one row per customer, day and product, with the mean unit price."""
    columns = set(purchases.columns)
    table = purchases.drop_nulls(["customer_id", "product_id"])
    if "quantity" in columns:
        table = table.filter(pl.col("quantity").fill_null(1) > 0)
    day = (
        pl.col("day").cast(pl.Int64)
        if "day" in columns
        else pl.col("ts").dt.epoch("d").cast(pl.Int64).alias("day")
    )
    price = (
        (pl.col("amount").sum() / pl.col("quantity").sum()).cast(pl.Float64)
        if {"amount", "quantity"} <= columns
        else pl.lit(None, dtype=pl.Float64)
    )
    ids = [pl.col("customer_id").cast(pl.String), pl.col("product_id").cast(pl.String)]
    return (
        table.with_columns(*ids, day)
        .group_by("customer_id", "product_id", "day")
        .agg(price.alias("unit_price"))
        .with_columns(pl.col("unit_price").fill_null(float("nan")))
    )


def _codes(ids: pl.Series) -> pl.Series:
    return ids.cast(pl.String).drop_nulls().unique().sort()


def _lookup(ids: pl.Series, name: str) -> pl.DataFrame:
    return pl.DataFrame({f"{name}_id": ids}).with_row_index(name)


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
    days = (
        purchases.lazy()
        .filter(has_keys & (pl.col("ts") < as_of) & (quantity > 0) & (amount >= 0))
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
    return PurchaseDays(
        pl.DataFrame([days[key] for key in keys])[starts],
        np.append(starts, days.height),
        days["day"].to_numpy().astype(np.int64),
        *(days[name].to_numpy() for name in ("amount", "margin", "quantity", "lines")),
    )


def purchases_of(inputs: ModelInputs, keys: Sequence[str] = CUSTOMER) -> pl.DataFrame:
    """Return the `purchases` table with the columns that a log of `keys` needs."""
    return inputs.require("purchases", [*keys, "ts", "amount"])


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
