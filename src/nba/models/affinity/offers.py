"""Content and events worth bringing to a customer: by tag, by loved category, by place.

Both rank what the catalogue of content and the calendar of events hold; whether a customer may
be contacted, and whether they have seen a piece before, is for the contact policy to say.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import polars as pl

from nba.models.base import ModelInputs

#: What a match is worth: a product of the customer's list, a tag, a loved category.
WEIGHTS: Final = {"product": 1.0, "tag": 1.0, "category": 0.5}
OFFER_SCHEMA: Final[dict[str, pl.DataType]] = {
    "customer_id": pl.String(),
    "rank": pl.Int32(),
    "kind": pl.String(),
    "offer_id": pl.String(),
    "score": pl.Float64(),
    "reason": pl.String(),
    "matched": pl.String(),
}


def offers(
    inputs: ModelInputs, scores: pl.DataFrame, *, as_of: datetime, top_n: int = 5
) -> pl.DataFrame:
    """Return the best content and events per customer, with what matched.

    Parameters
    ----------
    inputs : ModelInputs
        `content` (`content_id`; `category`, `theme`, `product_ids`, `valid_from`, `valid_to`),
        `events` (`event_id`, `topic`, `starts_at`; `store_id`), `customer_tags`
        (`customer_id`, `tag`; `value`), `customer_state` (`store_id`); each may be absent.
    scores : polars.DataFrame
        The score table of an affinity model: lists and their categories.
    as_of : datetime
        Content is valid then; events begin after it.
    top_n : int
        Offers per customer and kind.
    """
    topics = pl.concat([_content(inputs, as_of), _events(inputs, as_of)])
    interests = pl.concat([_tags(inputs), *_lists(scores)])
    met = interests.join(topics, on=["how", "what"])
    if "customer_state" in inputs and "store_id" in inputs["customer_state"].columns:
        home = inputs["customer_state"].select(
            pl.col("customer_id").cast(pl.String), pl.col("store_id").cast(pl.String).alias("home")
        )
    else:
        home = pl.DataFrame(schema={"customer_id": pl.String, "home": pl.String})
    here = pl.col("store_id").is_null() | (pl.col("store_id") == pl.col("home"))
    best = (
        met.join(home.unique("customer_id"), on="customer_id", how="left")
        .filter(here.fill_null(False))
        .with_columns(
            worth=pl.col("strength")
            * pl.col("how").replace_strict(WEIGHTS, return_dtype=pl.Float64)
        )
        .sort(
            "customer_id",
            "kind",
            "offer_id",
            "worth",
            "how",
            "what",
            descending=[False] * 3 + [True, False, False],
        )
        .group_by("customer_id", "kind", "offer_id", maintain_order=True)
        .agg(
            pl.col("worth").sum().alias("score"),
            pl.col("how").first().alias("reason"),
            pl.col("what").first().alias("matched"),
        )
        .sort("customer_id", "kind", "score", "offer_id", descending=[False, False, True, False])
    )
    rank = (pl.int_range(pl.len()).over("customer_id", "kind") + 1).cast(pl.Int32)
    return best.with_columns(rank=rank).filter(pl.col("rank") <= top_n).select(*OFFER_SCHEMA)


_TOPIC: Final = {
    "kind": pl.String(),
    "offer_id": pl.String(),
    "store_id": pl.String(),
    "how": pl.String(),
    "what": pl.String(),
}


def _content(inputs: ModelInputs, as_of: datetime) -> pl.DataFrame:
    """Return what each valid piece of content is about."""
    if "content" not in inputs:
        return pl.DataFrame(schema=_TOPIC)
    table = inputs.require("content", ["content_id"])
    for name, keep in (
        ("valid_from", pl.col("valid_from") <= as_of),
        ("valid_to", pl.col("valid_to") > as_of),
    ):
        if name in table.columns:
            table = table.filter(keep.fill_null(True))
    parts = [
        _topic(table, "content", "content_id", how, column)
        for column, how in (("category", "category"), ("theme", "tag"))
        if column in table.columns
    ]
    if "product_ids" in table.columns and table["product_ids"].dtype == pl.List:
        parts.append(
            _topic(table.explode("product_ids"), "content", "content_id", "product", "product_ids")
        )
    return pl.concat([pl.DataFrame(schema=_TOPIC), *parts])


def _events(inputs: ModelInputs, as_of: datetime) -> pl.DataFrame:
    """Return what each coming event is about: its topic may be a tag or a category."""
    if "events" not in inputs:
        return pl.DataFrame(schema=_TOPIC)
    table = inputs.require("events", ["event_id", "topic", "starts_at"])
    table = table.filter(pl.col("starts_at") > as_of)
    return pl.concat(
        [_topic(table, "event", "event_id", how, "topic") for how in ("tag", "category")]
    )


def _topic(table: pl.DataFrame, kind: str, key: str, how: str, column: str) -> pl.DataFrame:
    store = pl.col("store_id") if "store_id" in table.columns else pl.lit(None)
    return (
        table.select(
            pl.lit(kind).alias("kind"),
            pl.col(key).cast(pl.String).alias("offer_id"),
            store.cast(pl.String).alias("store_id"),
            pl.lit(how).alias("how"),
            pl.col(column).cast(pl.String).alias("what"),
        )
        .drop_nulls("what")
        .unique()
    )


_INTEREST: Final = {
    "customer_id": pl.String(),
    "how": pl.String(),
    "what": pl.String(),
    "strength": pl.Float64(),
}


def _tags(inputs: ModelInputs) -> pl.DataFrame:
    """Return the tags of each customer, and their values, as interests."""
    none = pl.DataFrame(schema=_INTEREST)
    if "customer_tags" not in inputs:
        return none
    table = inputs.require("customer_tags", ["customer_id", "tag"])
    columns = [name for name in ("tag", "value") if name in table.columns]
    parts = [
        table.select(
            pl.col("customer_id").cast(pl.String),
            pl.lit("tag").alias("how"),
            pl.col(column).cast(pl.String).alias("what"),
            pl.lit(1.0).alias("strength"),
        )
        for column in columns
    ]
    return pl.concat([none, *parts]).drop_nulls().unique(maintain_order=True)


def _lists(scores: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the listed products, and the categories by their share of the list."""
    products = scores.select(
        "customer_id",
        pl.lit("product").alias("how"),
        pl.col("product_id").alias("what"),
        (1.0 / pl.col("rank").cast(pl.Float64)).alias("strength"),
    )
    categories = (
        scores.drop_nulls("category")
        .group_by("customer_id", pl.col("category").alias("what"))
        .len("strength")
        .with_columns(
            (pl.col("strength") / pl.col("strength").sum().over("customer_id")).alias("strength"),
            pl.lit("category").alias("how"),
        )
        .select(*_INTEREST)
    )
    return [products, categories]
