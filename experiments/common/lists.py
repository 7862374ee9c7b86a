"""How well product lists foretell the next basket."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

PLACES: Final = 10
_PAIR: Final = ["customer_id", "product_id"]


def list_metrics(
    lists: pl.DataFrame,
    purchases: pl.DataFrame,
    *,
    as_of: datetime,
    days: int = 60,
    min_baskets: int = 1,
) -> dict[str, float]:
    """Return recall and NDCG at 10 of the next basket, and recall of what was new in it.

    NDCG is over the ideal of the whole basket. `new_recall` asks about the first ten products
    of the list that are new to the customer.

    Parameters
    ----------
    lists : polars.DataFrame
        The scores of an affinity model.
    purchases : polars.DataFrame
        `customer_id`, `product_id` and `ts`, before and after `as_of`.
    as_of : datetime
        When the lists were made.
    days : int
        The next basket is the first within so many days.
    min_baskets : int
        Days with a purchase that a customer has before, at least.
    """
    day = pl.col("ts").dt.truncate("1d")
    past = purchases.filter(pl.col("ts") < as_of)
    coming = purchases.filter((pl.col("ts") >= as_of) & (pl.col("ts") < as_of + timedelta(days)))
    known = past.group_by("customer_id").agg(day.n_unique().alias("baskets"))
    asked = known.filter(pl.col("baskets") >= min_baskets)
    first = coming.filter(day == day.min().over("customer_id")).select(_PAIR).unique()
    basket = first.join(asked, on="customer_id", how="semi")
    new = basket.join(past.select(_PAIR).unique(), on=_PAIR, how="anti")
    fresh = lists.filter(pl.col("times_bought") == 0).with_columns(
        pl.col("rank").rank("ordinal").over("customer_id").alias("rank")
    )
    return {**_ranked(lists, basket), "new_recall": _ranked(fresh, new)["recall"]}


def _ranked(lists: pl.DataFrame, basket: pl.DataFrame) -> dict[str, float]:
    """Return customers, recall and NDCG at 10 of the baskets."""
    sizes = basket.group_by("customer_id").len("size")
    if sizes.is_empty():
        return {"customers": 0.0, "recall": 0.0, "ndcg": 0.0}
    top = lists.filter(pl.col("rank") <= PLACES).select(*_PAIR, "rank")
    per = (
        basket.join(top, on=_PAIR)
        .group_by("customer_id")
        .agg(
            pl.len().alias("hits"),
            (1.0 / (pl.col("rank").cast(pl.Float64) + 1).log(2)).sum().alias("gain"),
        )
    )
    table = sizes.join(per, on="customer_id", how="left").fill_null(0)
    size = table["size"].to_numpy()
    ideal = np.cumsum(1.0 / np.log2(np.arange(2, size.max() + 2)))
    return {
        "customers": float(len(table)),
        "recall": float((table["hits"].to_numpy() / size).mean()),
        "ndcg": float((table["gain"].to_numpy() / ideal[size - 1]).mean()),
    }
