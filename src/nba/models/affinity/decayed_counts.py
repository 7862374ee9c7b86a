"""The thin affinity model: decayed personal counts, filled with what is popular.

The baseline that a first try at anything better has to beat, and the simple rule inside
`two_stage`. A product counts by the customer's own purchases of it, decayed, plus a part of
its share of the best seller's buyers: who bought much gets their own first, who bought little
or long ago sees what is popular among it. Ties go by popularity, then by id.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import polars as pl
from pydantic import Field

from nba.models.affinity.config import ListConfig
from nba.models.affinity.scores import (
    SCORE_SCHEMA,
    ListSource,
    believed_relevance,
    customers,
    empty_scores,
    first_open,
    rebought_categories,
    replenishable_categories,
    resting,
    returned_rest_days,
    sellable,
    with_columns,
)
from nba.models.base import Model, ModelConfig, ModelInputs

_STATE = "state.json"
_PAIR_COLUMNS = {
    "category": pl.String(),
    "days_since_purchase": pl.Float64(),
    "gap_days_mean": pl.Float64(),
    "returned": pl.Boolean(),
    "days_since_return": pl.Float64(),
}
_PRODUCT_COLUMNS = {"category": pl.String(), "buyers_90d": pl.Float64(), "sales_90d": pl.Float64()}


class DecayedCountsConfig(ListConfig):
    """Parameters of `decayed_counts`."""

    pool: int = Field(200, ge=1, description="How many popular products stand by as filling.")
    chunk_customers: int = Field(50_000, ge=1, description="Customers scored at a time.")


class DecayedCountsAffinity(Model):
    """Decayed personal counts filled with what is popular."""

    name: ClassVar[str] = "affinity"
    kind: ClassVar[str] = "decayed_counts"
    Config: ClassVar[type[ModelConfig]] = DecayedCountsConfig
    config: DecayedCountsConfig

    def __init__(self, config: ModelConfig | None = None) -> None:
        super().__init__(config)
        self._popularity: dict[str, float] = {}
        self._replenishable: dict[str, bool] = {}
        self._returned_days = self.config.returned_days

    def fit(self, training: ModelInputs, *, as_of: datetime, seed: int) -> Self:
        """Learn what is popular, and which categories are bought again."""
        pairs = with_columns(
            training.require("customer_product", ["customer_id", "product_id", "purchase_days"]),
            _PAIR_COLUMNS,
        )
        buyers = pairs.group_by(pl.col("product_id").cast(pl.String)).agg(
            pl.len().cast(pl.Float64).alias("buyers")
        )
        products = with_columns(training.require("product", ["product_id"]), _PRODUCT_COLUMNS)
        popularity = (
            products.select(pl.col("product_id").cast(pl.String), "buyers_90d", "sales_90d")
            .join(buyers, on="product_id", how="left")
            .with_columns(_recent_or_ever(products))
        )
        self._popularity = _shares(popularity)
        self._replenishable = rebought_categories(pairs, self.config.rebought_share)
        self._returned_days = self.config.returned_days
        if "purchases" in training:
            visible = training["purchases"].filter(pl.col("ts") < as_of)
            self._returned_days = returned_rest_days(visible, self.config.returned_days)
        return self

    def score(self, inputs: ModelInputs, *, as_of: datetime) -> pl.DataFrame:
        """Return the score table for every customer in `inputs`."""
        people = customers(inputs)
        products = self._open_products(inputs)
        if people.is_empty() or products.is_empty():
            return empty_scores()
        bought = self._bought(inputs, people, products)
        step = self.config.chunk_customers
        return pl.concat(
            self._score_chunk(people[start : start + step], bought, products)
            for start in range(0, len(people), step)
        )

    def _open_products(self, inputs: ModelInputs) -> pl.DataFrame:
        table = with_columns(inputs.require("product", ["product_id"]), _PRODUCT_COLUMNS)
        share = pl.col("product_id").replace_strict(
            self._popularity, default=0.0, return_dtype=pl.Float64
        )
        return (
            sellable(table)
            .select(pl.col("product_id").cast(pl.String), pl.col("category"))
            .unique("product_id")
            .with_columns(share.alias("popularity"))
            .sort(["popularity", "product_id"], descending=[True, False])
        )

    def _bought(
        self, inputs: ModelInputs, people: pl.DataFrame, products: pl.DataFrame
    ) -> pl.DataFrame:
        """Return what the customers bought of the open products, with `blocked` per row."""
        columns = ["customer_id", "product_id", "purchase_days", "decayed_count"]
        table = with_columns(inputs.require("customer_product", columns), _PAIR_COLUMNS)
        replenishable = (
            pl.col("category")
            .fill_null("")
            .replace_strict(
                replenishable_categories(inputs, self._replenishable),
                default=False,
                return_dtype=pl.Boolean,
            )
        )
        rests = resting(
            ~replenishable,
            just_bought_days=self.config.just_bought_days,
            returned_days=self._returned_days,
        )
        return (
            table.with_columns(pl.col("customer_id", "product_id").cast(pl.String))
            .drop("category")
            .join(people.select("customer_id"), on="customer_id", how="semi")
            .join(products, on="product_id", how="inner")
            .with_columns(rests.alias("blocked"))
        )

    def _score_chunk(
        self, people: pl.DataFrame, bought: pl.DataFrame, products: pl.DataFrame
    ) -> pl.DataFrame:
        top_n = self.config.top_n
        bought = bought.join(people.select("customer_id"), on="customer_id", how="semi")
        own = (
            bought.filter(~pl.col("blocked"))
            .join(people.filter("profiled").select("customer_id"), on="customer_id", how="semi")
            .with_columns(
                (
                    pl.col("decayed_count") + self.config.popularity_weight * pl.col("popularity")
                ).alias("worth")
            )
            .sort(
                ["customer_id", "worth", "popularity", "product_id"],
                descending=[False, True, True, False],
            )
            .group_by("customer_id", maintain_order=True)
            .head(top_n)
            .select(
                "customer_id",
                "product_id",
                "category",
                pl.col("worth").alias("score"),
                "popularity",
                pl.lit(str(ListSource.REPEAT)).alias("source"),
                pl.col("purchase_days").cast(pl.Int32).alias("times_bought"),
                pl.col("days_since_purchase"),
                pl.col("gap_days_mean").alias("gap_days"),
            )
        )
        rows = pl.concat([own, self._fill(people, bought, products)], how="diagonal")
        return (
            rows.sort(
                ["customer_id", "score", "popularity", "product_id"],
                descending=[False, True, True, False],
            )
            .group_by("customer_id", maintain_order=True)
            .head(top_n)
            .with_columns(
                (pl.int_range(pl.len()).over("customer_id") + 1).cast(pl.Int32).alias("rank")
            )
            .with_columns(believed_relevance(pl.col("score")).alias("relevance"))
            .select(*SCORE_SCHEMA)
        )

    def _fill(
        self, people: pl.DataFrame, bought: pl.DataFrame, products: pl.DataFrame
    ) -> pl.DataFrame:
        """Return the popular products, not yet bought, that may fill a list of `top_n`."""
        pool = products.head(self.config.pool)
        blocked = np.zeros((len(people), len(pool)), dtype=bool)
        profiled = people.with_row_index("row").filter("profiled").select("customer_id", "row")
        columns_of = pool.with_row_index("column").select("product_id", "column")
        owned = bought.join(profiled, on="customer_id").join(columns_of, on="product_id")
        blocked[owned["row"].to_numpy(), owned["column"].to_numpy()] = True
        rows, columns = first_open(blocked, np.full(len(people), self.config.top_n))
        picked = pool[columns]
        return pl.DataFrame(
            {
                "customer_id": people["customer_id"][rows],
                "product_id": picked["product_id"],
                "category": picked["category"],
                "popularity": picked["popularity"],
            }
        ).with_columns(
            (self.config.popularity_weight * pl.col("popularity")).alias("score"),
            pl.lit(str(ListSource.POPULAR)).alias("source"),
            pl.lit(0, dtype=pl.Int32).alias("times_bought"),
            pl.lit(None, dtype=pl.Float64).alias("days_since_purchase"),
            pl.lit(None, dtype=pl.Float64).alias("gap_days"),
        )

    def _write(self, folder: Path) -> None:
        state = {
            "popularity": self._popularity,
            "replenishable": self._replenishable,
            "returned_days": self._returned_days,
        }
        (folder / _STATE).write_text(json.dumps(state, sort_keys=True))

    def _read(self, folder: Path) -> None:
        state = json.loads((folder / _STATE).read_text())
        self._popularity = state["popularity"]
        self._replenishable = state["replenishable"]
        self._returned_days = state["returned_days"]


def _recent_or_ever(products: pl.DataFrame) -> pl.Expr:
    """Return the popularity column: recent buyers, else recent sales, else buyers ever."""
    for column in ("buyers_90d", "sales_90d"):
        if bool((products[column].fill_null(0) > 0).any()):
            return pl.col(column).fill_null(0.0).alias("popularity")
    return pl.col("buyers").fill_null(0.0).alias("popularity")


def _shares(popularity: pl.DataFrame) -> dict[str, float]:
    top = popularity["popularity"].max()
    if not isinstance(top, float) or top <= 0:
        return {}
    known = popularity.filter(pl.col("popularity") > 0).sort("product_id")
    return dict(zip(known["product_id"], known["popularity"] / top, strict=True))
