"""Needs from affinity and mode scores alone, where no model scored needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from nba.models.needs.base import FIT_FLOOR, plain_worth
from nba.models.needs.words import BARE_NEEDS, NEED_SCHEMA, Need

#: Products launched at most so many days ago are new.
NEW_DAYS: Final = 45
#: Where a product's margin rate is not known.
USUAL_MARGIN_RATE: Final = 0.3


def plain_needs(inputs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return the needs of the customers of `mode`, as in `NEED_SCORE_SCHEMA`.

    Parameters
    ----------
    inputs : mapping of str to polars.DataFrame
        `affinity`, `mode`, `product`, `timing_category`.
    """
    launched = inputs["product"].select(
        "product_id",
        "launched_days",
        order_margin=pl.col("price") * pl.col("margin_rate").fill_null(USUAL_MARGIN_RATE),
    )
    bought = (pl.col("source") == "repeat") | (pl.col("times_bought").fill_null(0) > 0)
    relevance = pl.col("relevance").fill_null(0.0).clip(0.0, 1.0)
    timing = inputs["timing_category"].select("customer_id", "category", due="overdue_ratio")
    rows = (
        inputs["affinity"]
        .join(launched, on="product_id", how="left", maintain_order="left")
        .join(timing, on=["customer_id", "category"], how="left", maintain_order="left")
        .with_columns(
            need=pl.when(bought)
            .then(pl.lit(str(Need.DUE)))
            .when(pl.col("launched_days") <= NEW_DAYS)
            .then(pl.lit(str(Need.NEW)))
            .when(pl.col("source") == "explore")
            .then(pl.lit(str(Need.COMPANION)))
            .otherwise(pl.lit(str(Need.DISCOVERY))),
            relevance=pl.when(bought).then(0.2 + 0.8 * relevance).otherwise(relevance),
            group=pl.coalesce("category", "product_id"),
        )
        .sort("customer_id", "rank", "product_id", nulls_last=True)
        .group_by("customer_id", "need", "group", maintain_order=True)
        .agg(
            pl.col("product_id").alias("product_ids"),
            pl.col("category", "relevance", "order_margin", "due").first(),
        )
        .with_columns(need_id=pl.format("{}:{}", "need", "group"), is_known=pl.lit(False))
    )
    people = inputs["mode"].select("customer_id").unique().sort("customer_id")
    bare = pl.concat(
        people.with_columns(
            need=pl.lit(str(need)),
            need_id=pl.lit(str(need)),
            product_ids=pl.lit([], pl.List(pl.String)),
            relevance=pl.lit(1.0),
            is_known=pl.lit(False),
        )
        for need in BARE_NEEDS
        if need is not Need.CASE
    )
    needs = pl.concat([rows, bare], how="diagonal_relaxed")
    needs = needs.with_columns(goods=pl.lit(1))
    absent = [name for name in NEED_SCHEMA if name not in needs.columns]
    needs = needs.with_columns(pl.lit(None, NEED_SCHEMA[name]).alias(name) for name in absent)
    conformed = needs.select(pl.col(name).cast(kind) for name, kind in NEED_SCHEMA.items())
    return plain_worth(conformed, inputs["mode"], FIT_FLOOR)
