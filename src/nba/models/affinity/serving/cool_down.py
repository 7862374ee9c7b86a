"""Which products rest for a customer: returned, or just bought and not replenishable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import polars as pl

from nba.arrays import Bools, Ints
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.scores import rebought_categories, replenishable_categories
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog


def learn_rebought(log: PurchaseLog, catalogue: Catalogue, threshold: float) -> dict[str, bool]:
    """Return per category ("" where unknown) whether the same product is bought again."""
    keys = log.customer * log.n_products + log.product
    pair, days = np.unique(keys, return_counts=True)
    labels = catalogue.labels.gather(catalogue.place(pair % max(log.n_products, 1)))
    return rebought_categories(pl.DataFrame({"category": labels, "purchase_days": days}), threshold)


@dataclass(frozen=True)
class Resting:
    """Pairs of customer and product that may not be listed.

    Parameters
    ----------
    keys : array of int, rising
        customer × products + product.
    n_products : int
    """

    keys: Ints
    n_products: int

    @classmethod
    def of(
        cls,
        inputs: ModelInputs,
        *,
        customer_ids: pl.Series,
        product_ids: pl.Series,
        catalogue: Catalogue,
        learned: Mapping[str, bool],
        just_bought_days: float,
        as_of: datetime,
    ) -> Self:
        """Find them in `customer_product`, else in `purchases`.

        Parameters
        ----------
        inputs : ModelInputs
        customer_ids, product_ids : polars.Series
            The code spaces of the pairs.
        catalogue : Catalogue
        learned : mapping of str to bool
            Per category ("" where unknown) whether the same product is bought again; where
            `inputs` says so itself, that counts.
        just_bought_days : float
            For so many days a product that is not bought again rests.
        as_of : datetime
            Purchases before it count.
        """
        pairs = _pairs(inputs, as_of)
        places = pl.DataFrame(
            {
                "product_id": product_ids,
                "product": np.arange(len(product_ids)),
                "category": catalogue.labels.gather(catalogue.place(np.arange(len(product_ids)))),
            }
        )
        people = pl.DataFrame({"customer_id": customer_ids}).with_row_index("customer")
        lasting = ~pl.col("category").fill_null("").replace_strict(
            replenishable_categories(inputs, learned), default=False, return_dtype=pl.Boolean
        )
        just_bought = pl.col("days_since_purchase") < just_bought_days
        closed = (
            pairs.join(places, on="product_id")
            .join(people, on="customer_id")
            .filter(pl.col("returned").fill_null(False) | (just_bought & lasting).fill_null(False))
        )
        n = len(product_ids)
        keys = closed["customer"].to_numpy().astype(np.int64) * n + closed["product"].to_numpy()
        return cls(np.unique(keys), n)

    def slice(self, low: int, high: int) -> Self:
        """Return the pairs of the customers from `low` to `high`, counted from `low`."""
        first, last = np.searchsorted(self.keys, [low * self.n_products, high * self.n_products])
        return type(self)(self.keys[first:last] - low * self.n_products, self.n_products)

    def contains(self, customer: Ints, product: Ints) -> Bools:
        """Return which of the pairs rest."""
        keys = customer * self.n_products + product
        at = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        return self.keys[at] == keys if len(self.keys) else np.zeros(len(keys), dtype=bool)


def _pairs(inputs: ModelInputs, as_of: datetime) -> pl.DataFrame:
    """Return `customer_id`, `product_id`, `days_since_purchase`, `returned`."""
    ids = [pl.col("customer_id").cast(pl.String), pl.col("product_id").cast(pl.String)]
    if "customer_product" in inputs:
        table = inputs.require("customer_product", ["customer_id", "product_id"])
        since = "days_since_purchase"
        return table.select(
            *ids,
            (pl.col(since) if since in table.columns else pl.lit(None))
            .cast(pl.Float64)
            .alias(since),
            (pl.col("returned") if "returned" in table.columns else pl.lit(False)).alias(
                "returned"
            ),
        )
    table = inputs["purchases"].filter(pl.col("ts") < as_of)
    quantity = pl.col("quantity") if "quantity" in table.columns else pl.lit(1.0)
    sold = pl.col("ts").filter(quantity > 0).max()
    return (
        table.with_columns(ids)
        .group_by("customer_id", "product_id")
        .agg(
            ((as_of - sold) / timedelta(days=1)).alias("days_since_purchase"),
            (quantity.sum() <= 0).alias("returned"),
        )
    )
