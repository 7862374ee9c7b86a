"""What was bought: a row per customer, day and product; a basket is one customer's day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl
import scipy.sparse as sp

from nba.arrays import Bools, Ints, Reals


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
