"""Which products rest for a customer: returned, or just bought and not replenishable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self

import numpy as np
import polars as pl

from nba.arrays import Bools, Ints
from nba.models.affinity.candidates.product_text import Catalogue
from nba.models.affinity.scores import (
    rebought_categories,
    replenishable_categories,
    resting,
    with_columns,
)
from nba.models.base import ModelInputs
from nba.models.purchases import PurchaseLog

_PAIR: Final = ("customer_id", "product_id")
_READ: Final = {
    "days_since_purchase": pl.Float64(),
    "returned": pl.Boolean(),
    "days_since_return": pl.Float64(),
}


def learn_rebought(log: PurchaseLog, catalogue: Catalogue, threshold: float) -> dict[str, bool]:
    """Return per category ("" where unknown) whether the same product is bought again."""
    keys = log.customer * log.n_products + log.product
    pair, days = np.unique(keys, return_counts=True)
    labels = catalogue.labels.gather(catalogue.place(pair % max(log.n_products, 1)))
    return rebought_categories(pl.DataFrame({"category": labels, "purchase_days": days}), threshold)


@dataclass(frozen=True)
class CoolDown:
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
        returned_days: float,
        as_of: datetime,
    ) -> Self:
        """Find them in `customer_product`, else in `purchases`.

        Parameters
        ----------
        inputs : ModelInputs
        customer_ids, product_ids : polars.Series
            The code spaces.
        catalogue : Catalogue
        learned : mapping of str to bool
            Whether the category is bought again, where no table states it.
        just_bought_days, returned_days : float
            How long what was just bought, or sent back, rests.
        as_of : datetime
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
        closed = (
            pairs.join(places, on="product_id")
            .join(people, on="customer_id")
            .filter(
                resting(lasting, just_bought_days=just_bought_days, returned_days=returned_days)
            )
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
    """Return `customer_id`, `product_id`, and the columns that `resting` reads."""
    if "customer_product" in inputs:
        table = inputs.require("customer_product", list(_PAIR))
        return with_columns(table, _READ).select(pl.col(_PAIR).cast(pl.String), *_READ)
    table = inputs["purchases"].filter(pl.col("ts") < as_of)
    quantity = pl.col("quantity") if "quantity" in table.columns else pl.lit(1.0)
    ago = (pl.lit(as_of) - pl.col("ts")) / timedelta(days=1)
    return (
        table.with_columns(pl.col(_PAIR).cast(pl.String))
        .group_by(_PAIR)
        .agg(
            ago.filter(quantity > 0).min().alias("days_since_purchase"),
            ago.filter(quantity < 0).min().alias("days_since_return"),
            (quantity < 0).any().alias("returned"),
        )
    )
